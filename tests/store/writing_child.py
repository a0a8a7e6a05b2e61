"""A process that the durability tests kill: 64 clients write turns and rate them, each id is printed once acknowledged.

python writing_child.py DATA_DIR
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from feedback.settings import StoreSettings
from feedback.store.database import Store
from tests.fakes.rows import a_rating, a_turn

CLIENTS = 64


def client(store: Store) -> None:
    while True:
        turn = a_turn(reply="x" * 300)
        store.add_turn(turn).result()
        say(turn.turn_id)
        rating = a_rating(turn.turn_id)
        store.add_rating(rating).result()
        say(rating.rating_id)


def end_with_parent() -> None:
    """A test that was stopped kills nobody any more: this process would go on for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def say(item_id: str) -> None:
    os.write(1, item_id.encode() + b"\n")  # one write a line: a kill cuts no line in two, and no buffer hides one


def main() -> None:
    end_with_parent()
    # A small log, so that kills also fall into checkpoints.
    store = Store.open(StoreSettings(data_dir=Path(sys.argv[1]), wal_autocheckpoint_mib=1))
    threads = [threading.Thread(target=client, args=(store,)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main()
