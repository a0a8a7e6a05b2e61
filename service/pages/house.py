"""The routes of the pages that the server writes, beside the rooms' own."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from service.pages import desks, guide, who

ROUTES: list[ControllerRouterHandler] = [
    desks.desks_page,
    desks.annotate_page,
    desks.review_page,
    desks.expert_page,
    desks.send_annotation,
    desks.send_review,
    desks.send_decision,
    desks.today_page,
    guide.guide_page,
    guide.turn_image,
    who.who_page,
    who.say_who,
]
