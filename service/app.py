"""The gateway's app: the list of its routes, and what opens at startup and closes at shutdown.

The store opens first and closes last, after every request has ended, so that what was acknowledged is on disk. Nothing
here may import the training stack.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from feedback.errors import RatchetError
from feedback.settings import LabellingSettings, PoolSettings, QualitySettings, StoreSettings
from feedback.store.database import Store
from service import artefacts, conversations, errors, health, preferences, requests, turns
from service.aliases import AliasBook
from service.chat import embeddings, management, models, routes
from service.chat.attachments import whole_body_limit
from service.idempotency import Replays
from service.keys import routes as keys_routes
from service.keys.guard import Guard
from service.keys.hosts import keys_required
from service.keys.opening import opened_door
from service.labelling import routes as labelling_routes
from service.labelling.desk import Desk
from service.labelling.filling import filling
from service.measures import routes as measures_routes
from service.measures.keeping import measuring
from service.observing.exposition import Exposition
from service.observing.meters import Meters
from service.observing.metrics import metrics_route
from service.observing.tracing import open_tracing
from service.openapi import routes as openapi_routes
from service.pages import house, login
from service.pages import routes as pages
from service.parts import Parts
from service.privacy import routes as privacy_routes
from service.privacy.erasing import Eraser
from service.privacy.retention import housekeeping
from service.quality import routes as quality_routes
from service.quality.watching import watched
from service.settings import GatewaySettings
from service.transfer import routes as transfer_routes
from service.upstream.client import Upstream
from service.words import routes as words_routes
from service.words.book import WordBook
from service.words.sources import sources_of

WITH_IMAGES: list[ControllerRouterHandler] = [
    routes.chat_in_ollamas,
    routes.generate_in_ollamas,
    routes.chat_in_openais,
]
"""The routes whose bodies may be as large as their images; the others have the gateway's own limit."""
ROUTES: list[ControllerRouterHandler] = [
    routes.complete_in_openais,
    embeddings.embed_in_ollamas,
    embeddings.embed_in_old_ollamas,
    embeddings.embed_in_openais,
    *management.ROUTES,
    models.version,
    models.tags,
    models.loaded,
    models.show,
    models.models,
    models.model,
    turns.rate,
    turns.annotate,
    turns.read_turn,
    turns.read_turns,
    preferences.prefer,
    conversations.read_conversations,
    conversations.read_conversation,
    artefacts.put_tokenizer,
    artefacts.freeze_pool,
    artefacts.read_snapshot,
    artefacts.read_pool,
    artefacts.read_versions,
    artefacts.ask_learner,
    artefacts.read_request,
    requests.read_requests,
    artefacts.read_cycles,
    artefacts.read_one_cycle,
    artefacts.back_up,
    privacy_routes.erase_subject,
    privacy_routes.erase,
    privacy_routes.read_erasures,
    privacy_routes.read_erasure,
    privacy_routes.export_subject,
    privacy_routes.export,
    words_routes.read_words,
    words_routes.read_hits,
    words_routes.put_words,
    words_routes.put_list,
    words_routes.check_text,
    keys_routes.make_key,
    keys_routes.read_keys,
    keys_routes.revoke_key,
    *openapi_routes.ROUTES,
    health.health,
    health.ready,
    pages.chat_page,
    pages.page_file,
    pages.chat_file,
    login.login_page,
    login.sign_in,
    login.sign_out,
    *house.ROUTES,
    *labelling_routes.ROUTES,
    *quality_routes.ROUTES,
    *measures_routes.ROUTES,
    *transfer_routes.ROUTES,
]


def create_app(
    gateway: GatewaySettings,
    store: StoreSettings,
    pool: PoolSettings,
    labelling: LabellingSettings | None = None,
    quality: QualitySettings | None = None,
) -> Litestar:
    """The app. Raises InvalidWords, Forbidden at once; StoreLocked and StoreUnavailable at startup."""
    words = WordBook(sources_of(gateway), store.data_dir / "words")
    meters, labels, checks = Meters(), labelling or LabellingSettings(), quality or QualitySettings()
    tracing = open_tracing(gateway.otlp_endpoint)

    @contextlib.asynccontextmanager
    async def opened(app: Litestar) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                opening = _parts(gateway, store, pool, labels, checks, words, meters)
                app.state.parts = await stack.enter_async_context(opening)
            except RatchetError as error:
                app.state.startup_error = error  # uvicorn only logs it; `server` raises it to whoever started us
                raise
            try:
                yield
            finally:
                del app.state.parts  # an app that is down keeps nothing alive
                if tracing is not None:
                    await asyncio.to_thread(tracing.close)

    everything: dict[int | type[Exception], Any] = {Exception: errors.to_response, HTTPException: errors.to_response}
    app = Litestar(
        [_with_images(gateway), *ROUTES, metrics_route(public=gateway.metrics_public)],
        lifespan=[opened],
        middleware=[Guard],
        exception_handlers=everything,
        request_max_body_size=gateway.body_limit_bytes,
        logging_config=None,
        openapi_config=None,  # `service.openapi` has its own
    )
    app.state.keys_required = keys_required(gateway)
    app.state.watchers = (meters,) if tracing is None else (meters, tracing)
    return app


def _with_images(gateway: GatewaySettings) -> Router:
    return Router("/", route_handlers=WITH_IMAGES, request_max_body_size=whole_body_limit(gateway))


@contextlib.asynccontextmanager
async def _parts(
    gateway: GatewaySettings,
    store_settings: StoreSettings,
    pool: PoolSettings,
    labelling: LabellingSettings,
    quality: QualitySettings,
    words: WordBook,
    meters: Meters,
) -> AsyncIterator[Parts]:
    store = await asyncio.to_thread(Store.open, store_settings)
    store.tell_commits(meters.committed)
    data_dir = store_settings.data_dir
    try:
        async with (
            Upstream(gateway) as upstream,
            words.watching(gateway.words_reload_s),
            opened_door(gateway, store, store_settings.data_dir) as door,
            Desk.opened(store, words, data_dir, labelling) as desk,
            filling(store, labelling, desk.board, data_dir),
            housekeeping(
                store,
                eraser := Eraser(store, data_dir, door.ring, desk.hears_of_erasures()),
                data_dir,
                store_settings.retention_days,
            ),
            measuring(store) as measures,
            watched(store, quality) as watching,
        ):
            yield Parts(
                gateway=gateway,
                store_settings=store_settings,
                pool=pool,
                labelling=labelling,
                quality=quality,
                store=store,
                upstream=upstream,
                aliases=AliasBook(store_settings.data_dir / "alias.json", gateway, lambda: upstream.tags),
                words=words,
                meters=meters,
                replays=Replays(store),
                exposition=Exposition(meters, store, words, upstream),
                door=door,
                desk=desk,
                eraser=eraser,
                measures=measures,
                watching=watching,
                freezing=asyncio.Lock(),
            )
    finally:
        await asyncio.to_thread(store.close)
