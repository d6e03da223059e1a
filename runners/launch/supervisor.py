"""What runs on the other machine: its own Python 3.8 or newer, the standard library, nothing installed.

The daemon outlives the connection: it runs the command, beats in the journal, and keeps the exit code in a place where
room was taken beforehand, so that a full disk cannot swallow it; room for the journal's last lines is kept too. Every
other verb only looks, or appends once.
"""

import fcntl
import glob
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import time

HEARTBEAT_S = 10.0
KEEPALIVE_S = 5.0
POLL_S = 0.1
BLOCK_BYTES = 1 << 20
RESERVED_BYTES = 4096
BALLAST_BYTES = 1 << 20
SETTLE_S = 0.3


class Place:
    """The folders of one run below the root: its record, its working tree, what the daemon keeps for itself."""

    def __init__(self, root, name):
        self.root = os.path.abspath(os.path.expanduser(root))
        self.folder = os.path.join(self.root, "runs", name)
        self.journal = os.path.join(self.folder, "journal.jsonl")
        self.output = os.path.join(self.folder, "output.log")
        self.tree = os.path.join(self.root, "work", name)
        self.state = os.path.join(self.root, ".holdfast", name)
        self.exit = os.path.join(self.state, "exit.json")
        self.lock = os.path.join(self.state, "lock")
        self.ballast = os.path.join(self.state, "ballast")
        self.spec = os.path.join(self.state, "spec.json")


def facts(place, _payload):
    """Say what this machine is, and where the root is; make the folder the working tree goes to."""
    os.makedirs(place.tree, exist_ok=True)
    gpus = []
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        with open(path, errors="replace") as file:
            gpus += [line.partition(":")[2].strip() for line in file if line.startswith("Model:")]
    tell({
        "root": place.root, "tree": place.tree, "node": platform.node(), "platform": platform.platform(),
        "python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "gpus": gpus,
    })  # fmt: skip


def clock(place, _payload):
    """Say what time it is, later than every file that was sent by more than the coarse clock that files go by."""
    time.sleep(SETTLE_S)
    tell({"now": time.time()})


def start(place, payload):
    """Write the first lines of the journal and leave the daemon behind; a second start changes nothing."""
    spec = json.loads(payload)
    os.makedirs(place.folder, exist_ok=True)
    os.makedirs(place.state, exist_ok=True)
    if os.path.exists(place.spec):
        return tell({"started": False})
    open(os.path.join(place.root, "runs.db"), "a").close()
    append(place.journal, spec["lines"].encode())
    for path, size in ((place.exit + ".reserved", RESERVED_BYTES), (place.ballast, BALLAST_BYTES)):
        with open(path, "wb") as file:
            file.write(b" " * size)
            os.fsync(file.fileno())
    with open(place.spec + ".new", "w") as file:
        json.dump(spec, file)
    os.rename(place.spec + ".new", place.spec)
    lock = os.open(place.lock, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    sys.stdout.flush()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            supervise(place, spec)
        os._exit(0)
    os.wait()
    return tell({"started": True})


def supervise(place, spec):
    """Run the command to its end, beating; the lock is held as long as this process lives."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ended = run(place, spec)
    except OSError as error:
        ended = {"code": 127, "error": "cannot start %s: %s" % (spec["command"][0], error.strerror)}
    content = json.dumps(dict(ended, at=time.time())).encode().ljust(RESERVED_BYTES)
    with open(place.exit + ".reserved", "r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(place.exit + ".reserved", place.exit)
    os._exit(0)


def run(place, spec):
    """Start the command in a session of its own and wait for it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
    environment.update(spec["environment"], REGISTRY_DB=os.path.join(place.root, "runs.db"))
    with open(place.output, "ab", buffering=0) as output:
        process = subprocess.Popen(
            spec["command"], cwd=os.path.join(place.tree, spec["cwd"]), env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    with open(os.path.join(place.state, "pid"), "w") as file:
        file.write(str(process.pid))
    while True:
        try:
            return {"code": process.wait(HEARTBEAT_S)}
        except subprocess.TimeoutExpired:
            try:
                append(place.journal, json.dumps({"t": "h", "at": round(time.time(), 3)}).encode() + b"\n")
            except OSError:
                pass


def append(path, content):
    """Add whole lines with one write and put them on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_supervised(place):
    """Return whether the daemon lives: it alone holds the lock."""
    try:
        descriptor = os.open(place.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def follow(place, payload):
    """Stream what journal and output have beyond two offsets, until the command has ended and all is said."""
    wanted = json.loads(payload)
    sources = [["J", place.journal, wanted["journal"]], ["O", place.output, wanted["output"]]]
    said_at = time.monotonic()
    while True:
        supervised, ended = is_supervised(place), read_exit(place)
        moved = False
        for source in sources:
            for block in blocks(source[1], source[2]):
                frame(source[0], block)
                source[2] += len(block)
                moved, said_at = True, time.monotonic()
        if ended is not None or not supervised:
            return frame("E", json.dumps(ended or {"lost": True}).encode())
        if time.monotonic() - said_at > KEEPALIVE_S:
            frame("K", b"")
            said_at = time.monotonic()
        if not moved:
            time.sleep(POLL_S)


def read_exit(place):
    """Return how the command ended, None while it runs."""
    try:
        with open(place.exit) as file:
            return json.load(file)
    except OSError:
        return None


def blocks(path, offset):
    """Yield what a file has beyond an offset now."""
    try:
        file = open(path, "rb")
    except OSError:
        return
    with file:
        end = file.seek(0, os.SEEK_END)
        file.seek(offset)
        while offset < end:
            block = file.read(min(BLOCK_BYTES, end - offset))
            if not block:
                return
            offset += len(block)
            yield block


def frame(kind, content):
    """Send one block: a kind, its length, its bytes."""
    sys.stdout.buffer.write(b"%s %d\n" % (kind.encode(), len(content)) + content)
    sys.stdout.buffer.flush()


def tell(answer):
    """Send one answer."""
    frame("A", json.dumps(answer).encode())


def interrupt(place, payload):
    """Send a signal to the command and everything it started."""
    with open(os.path.join(place.state, "pid")) as file:
        pid = int(file.read())
    try:
        os.killpg(pid, json.loads(payload)["signal"])
    except ProcessLookupError:
        pass
    tell({})


def spec(place, _payload):
    """Say what was started."""
    with open(place.spec) as file:
        tell(json.load(file))


def match(place, payload):
    """List the files that patterns name in the folder of the command (`found`), and hash those and `also`."""
    wanted = json.loads(payload)
    os.chdir(os.path.join(place.tree, wanted["cwd"]))
    found = {pattern: sorted(glob.glob(pattern, recursive=True)) for pattern in wanted["patterns"]}
    absolute = {pattern: [os.path.abspath(path) for path in paths] for pattern, paths in found.items()}
    tops = {path for paths in absolute.values() for path in paths}
    tops |= {os.path.join(place.root, path) for path in wanted["also"]}
    tell({"found": absolute, "digests": {path: digest(path) for top in tops for path in files(top)}})


def files(top):
    """Return a file, or the files below a folder."""
    if not os.path.isdir(top):
        return [top] if os.path.isfile(top) else []
    return [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]


def digest(path):
    """Return the sha256 of a file's bytes."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            hashed.update(block)
    return hashed.hexdigest()


def finish(place, payload):
    """Append the last lines to the journal, once: those of the first time it was asked."""
    if os.path.exists(place.ballast):
        os.unlink(place.ballast)
    last = os.path.join(place.state, "last-lines")
    if not os.path.exists(last):
        append(last + ".new", payload)
        os.rename(last + ".new", last)
    with open(last, "rb") as file:
        lines = file.read()
    with open(place.journal, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(lines)))
        done = file.read() == lines
    if not done:
        append(place.journal, lines)
    tell({})


VERBS = {
    "facts": facts, "clock": clock, "start": start, "follow": follow, "interrupt": interrupt, "spec": spec,
    "match": match, "finish": finish,
}  # fmt: skip

VERBS[sys.argv[2]](Place(sys.argv[3], sys.argv[4]), sys.stdin.buffer.read())
