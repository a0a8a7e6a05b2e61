"""A process that is killed while it writes rows and writes the file anew, over and over: each id is printed once
acknowledged.

python compacting_child.py DATA_DIR
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from feedback.settings import StoreSettings
from feedback.store.database import Store
from tests.store.writing_child import client, end_with_parent


def main() -> None:
    end_with_parent()
    store = Store.open(StoreSettings(data_dir=Path(sys.argv[1]), wal_autocheckpoint_mib=1))
    for _ in range(16):
        threading.Thread(target=client, args=(store,)).start()
    while True:
        store.compact()


if __name__ == "__main__":
    main()
