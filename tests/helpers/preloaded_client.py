"""What starts in place of Python: python -IS preloaded_client.py SOCKET ARGUMENTS."""

import json
import os
import signal
import socket
import struct
import sys

first, second, *_ = [*sys.argv[2:], "", ""]
# Workers of joblib inherit open files, and other options set up an interpreter.
if second == "joblib.externals.loky.backend.popen_loky_posix" or (
    first.startswith("-") and first not in ("-c", "-m")
):
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: connection.send(bytes([number])))
request = json.dumps(
    {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
).encode()
socket.send_fds(connection, [struct.pack("I", len(request))], [0, 1, 2])
connection.sendall(request)
answer = connection.recv(4, socket.MSG_WAITALL)
if len(answer) < 4:
    sys.exit("The preloaded Python ended without an answer.")
(status,) = struct.unpack("i", answer)
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
