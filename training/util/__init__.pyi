from .allocator import keep_freed_memory as keep_freed_memory
from .cache import cache_folder as cache_folder
from .devices import choose_device as choose_device
from .devices import choose_devices as choose_devices
from .hashing import sha256 as sha256
from .lock import run_lock as run_lock
from .progress import Listener as Listener
from .writing import (
    clear_parts as clear_parts,
)
from .writing import (
    new_folder as new_folder,
)
from .writing import (
    replacing as replacing,
)
from .writing import (
    write_text as write_text,
)
