"""Quality as a page: agreement, who is believed how far, who moved, and the quarantines with a way to lift them."""

from __future__ import annotations

from litestar import Response

from feedback.quality.looking import Look
from feedback.quality.quarantine import Book
from service.pages.render import PageRequest, page

RATERS_SHOWN = 50
QUARANTINES_SHOWN = 100


def quality_page(request: PageRequest, found: Look, book: Book) -> Response[str]:
    """The page of what a look found."""
    return page(
        request,
        "quality.html",
        here="/quality",
        found=found,
        raters=found.raters[:RATERS_SHOWN],
        held=book.held[:QUARANTINES_SHOWN],
        held_in_all=len(book.held),
        questions=QUESTIONS,
        reasons=REASONS,
        kinds=KINDS,
        series=SERIES,
    )


QUESTIONS = {"accuracy": ("Accuracy", "准确度"), "fluency": ("Fluency", "流畅度"), "good": ("Good or not", "好或不好")}
REASONS = {
    "burst": ("Many at once", "短时间内大量评价"),
    "near-identical-comments": ("Near-identical comments", "评语几乎相同"),
    "votes-against-the-crowd": ("Votes against everybody", "总与众人相反"),
    "over-quota": ("Over the quota", "超出配额"),
    "by-operator": ("By an operator", "管理员设置"),
}
KINDS = {
    "rater": ("Rater", "评价者"), "rating": ("Rating", "评分"), "preference": ("Preference", "偏好"),
    "annotation": ("Annotation", "标注"),
}  # fmt: skip
SERIES = {**QUESTIONS, "agreement": ("Agreement with others", "与他人的一致程度")}
"""Names in English and Chinese."""
