"""What the code alone does not say of the pages' routes; see `service.openapi.operation`."""

from __future__ import annotations

from service.openapi.operation import BYTES, HTML, JS, Body, Operation

TAG = "Pages"
FORM = "application/x-www-form-urlencoded"
_GRADES = "turn_id=turn_0&accuracy=2&fluency=3&corrected_reply=Paris.&category=facts&flags=unsafe&note=&accept=Paris"


def _page(*errors: int) -> Operation:
    """A page that the server writes; who is not known yet is led to another one first."""
    return Operation(tag=TAG, answers={200: (Body(type=HTML),), 303: ()}, errors=errors)


def _form(example: str, *errors: int) -> Operation:
    """What a page's form sends: htmx is answered with what comes next, a browser without scripts led there."""
    return Operation(
        tag=TAG, body=Body(type=FORM, example=example), answers={200: (Body(type=HTML),), 303: ()}, errors=errors
    )


OPERATIONS: dict[str, Operation] = {
    "GET /page/chat/{name}": Operation(tag=TAG, answers={200: (Body(type=JS),)}, errors=(404,)),
    "GET /desks": _page(),
    "GET /annotate": _page(),
    "GET /review": _page(),
    "GET /expert": _page(),
    "GET /today": _page(),
    "GET /who": _page(),
    "GET /guide/{project}": _page(),
    "POST /annotate/{item_id}": _form(f"act=annotate&{_GRADES}", 404, 409),
    "POST /review/{item_id}": _form("act=return%3Aannotation_0&turn_id=turn_0&reason=Which+source%3F", 404, 409),
    "POST /expert/{item_id}": _form(f"act=decide&{_GRADES}", 404, 409),
    "POST /who": _form("name=Ada&next=%2Fannotate", 409),
    "GET /desks/images/{turn_id}/{number}": Operation(tag=TAG, answers={200: (Body(type=BYTES),)}, errors=(404,)),
}
