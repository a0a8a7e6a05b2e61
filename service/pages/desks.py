"""The desks' pages: `/annotate`, `/review`, `/expert`, the one that lists them, and what one did today.

Each shows the next task that the desk gives, and takes what was filled in by the button that was pressed; then the next
one, which htmx puts in its place. Without scripts the same forms work by loading the page anew, on a gateway without
keys (a session's changes must show a token in a header). Must never: show whose an annotation is, or a version to who
annotates; the desk has taken them out.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from feedback.labelling.task import Desk, Task
from service.callers import caller_of
from service.labelling.people import NoPerson, person_of
from service.pages import forms
from service.pages.guide import projects
from service.pages.render import PAGE, PageRequest, in_language, language_of, page, part, shift_of, to_page
from service.parts import AnyRequest, parts_of

Answer = Response[Any]


@get("/annotate", summary="The annotators' desk", allow="annotator", **PAGE)
async def annotate_page(request: PageRequest) -> Answer:
    """The next reply to annotate, or one that was sent back."""
    return await _desk_page(request, "annotate")


@get("/review", summary="The reviewers' desk", allow="reviewer", **PAGE)
async def review_page(request: PageRequest) -> Answer:
    """The next item on which annotators disagree, or that was drawn to be looked at."""
    return await _desk_page(request, "review")


@get("/expert", summary="The experts' desk", allow="expert", **PAGE)
async def expert_page(request: PageRequest) -> Answer:
    """The next dispute, with its whole history."""
    return await _desk_page(request, "expert")


@post("/annotate/{item_id:str}", summary="What the annotators' form sends", status_code=200, allow="annotator", **PAGE)
async def send_annotation(request: PageRequest, item_id: FromPath[str]) -> Answer:
    """An annotation, an objection, or a skip."""
    return await _sent(request, "annotate", item_id)


@post("/review/{item_id:str}", summary="What the reviewers' form sends", status_code=200, allow="reviewer", **PAGE)
async def send_review(request: PageRequest, item_id: FromPath[str]) -> Answer:
    """A reviewer's decision, or a skip."""
    return await _sent(request, "review", item_id)


@post("/expert/{item_id:str}", summary="What the experts' form sends", status_code=200, allow="expert", **PAGE)
async def send_decision(request: PageRequest, item_id: FromPath[str]) -> Answer:
    """An expert's decision, or a skip."""
    return await _sent(request, "expert", item_id)


@get("/desks", summary="All desks, and what waits at each", allow="annotator", **PAGE)
async def desks_page(request: PageRequest) -> Answer:
    """Where a labelling team begins its day."""
    person = known(request)
    if not person:
        return _who_are_you(request)
    desk, caller = parts_of(request).desk, caller_of(request)
    waiting, today = await desk.waiting(person), await desk.today(person, _midnight(request))
    guides = await asyncio.to_thread(projects, parts_of(request).store)
    return page(request, "desks.html", here="/desks", waiting=waiting, today=today, may=caller.may, guides=guides)


@get("/today", summary="What one did today", allow="annotator", **PAGE)
async def today_page(request: PageRequest) -> Answer:
    """Figures of the day, and each thing done, newest first."""
    person = known(request)
    if not person:
        return _who_are_you(request)
    today = await parts_of(request).desk.today(person, _midnight(request))
    return page(request, "today.html", here="/today", today=today)


def known(request: AnyRequest) -> str:
    """Who works here; empty where a gateway without keys does not know yet. Raises NoPerson for a key of nobody's."""
    try:
        return person_of(request)
    except NoPerson:
        if caller_of(request).key_id:
            raise
        return ""


def _who_are_you(request: PageRequest) -> Answer:
    return to_page(request, f"/who?next={quote(request.url.path)}")


async def _desk_page(request: PageRequest, desk: Desk) -> Answer:
    person = known(request)
    if not person:
        return _who_are_you(request)
    filters = forms.filters_in(request.query_params)
    task = await parts_of(request).desk.next(person, desk, filters)
    shown = await _shown(request, person, desk, task)
    return page(request, "desk.html", here=f"/{desk}", filters=filters, filtered=bool(shown["query"]), **shown)


async def _shown(request: PageRequest, person: str, desk: Desk, task: Task | None) -> dict[str, Any]:
    """What the templates of a task need."""
    today = await parts_of(request).desk.today(person, _midnight(request))
    given = {
        name: value for name, value in msgspec.structs.asdict(forms.filters_in(request.query_params)).items() if value
    }
    return {
        "desk": desk,
        "task": task,
        "today": today.annotated + today.reviewed + today.skipped,
        "query": f"?{urlencode(given)}" if given else "",
        "swapped": False,
    }


async def _sent(request: PageRequest, desk: Desk, item_id: str) -> Answer:
    """Do what the button says, then show what comes next."""
    person, form = person_of(request), await forms.form_of(request)
    await _do(request, person, item_id, form)
    if not request.htmx:
        return to_page(request, f"/{desk}?{request.url.query}".rstrip("?"))
    t = in_language(language_of(request))
    task = await parts_of(request).desk.next(person, desk, forms.filters_in(request.query_params))
    said = (
        t("Saved. The next one is here.", "已保存，下一条已就绪。")
        if task
        else t("Saved. Nothing else waits.", "已保存，没有更多任务。")
    )
    return part(request, "next.html", said=said, **await _shown(request, person, desk, task))


async def _do(request: PageRequest, person: str, item_id: str, form: forms.Form) -> None:
    desk, act = parts_of(request).desk, forms.text(form, "act")
    if act == "skip":
        await desk.skip(person, item_id, forms.skip_in(form))
        return
    turn = await asyncio.to_thread(parts_of(request).store.turn, forms.text(form, "turn_id"))
    if act == "annotate":
        await desk.annotate(person, item_id, forms.annotation_in(form, person, turn.reply))
    else:
        await desk.decide(person, item_id, forms.review_in(form, turn.reply))


def _midnight(request: PageRequest) -> dt.datetime:
    """When the day began where the browser is."""
    here = dt.datetime.now(dt.UTC) + shift_of(request)
    return here.replace(hour=0, minute=0, second=0, microsecond=0) - shift_of(request)
