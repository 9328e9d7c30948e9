#!/usr/bin/env python3
"""5,000 idle connections, half of them in the midst of a request, 300 with TLS, and one that never
ends its handshake: what a connection costs, and that others are served as before."""
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

COUNT, TLS_COUNT = 5000, 300
BYTES_MAX, TLS_BYTES_MAX = 2048, 96 << 10  # a connection, beside what the system keeps
SKIP = 77


def skip(why):
    print(why)
    sys.exit(SKIP)


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def certificate(folder):
    pem = os.path.join(folder, "broker.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", pem, "-out", pem + ".crt"], check=True, capture_output=True)
    with open(pem + ".crt", encoding="ascii") as crt, open(pem, "a", encoding="ascii") as out:
        out.write(crt.read())
    return pem


def start(folder):
    broker = subprocess.Popen(
        [os.environ["WEIR_BIN"], "broker", "--listen", "PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0",
         "--data-dir", os.path.join(folder, "data"), "-X",
         "ssl.keystore.location=" + certificate(folder)],
        stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]})
    ports = {}
    while len(ports) < 2:
        line = broker.stdout.readline()
        if not line:
            sys.exit("the broker has ended")
        if line.startswith("listening: "):
            protocol, _, address = line.split()[1].partition("://")
            ports[protocol] = int(address.rpartition(":")[2])
    return broker, ports


def api_versions(port):
    """Seconds until the broker has answered."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"\0\0\0\x0a\0\x12\0\0\0\0\0\7\xff\xff")
        answer = client.recv(4096)
    assert answer[4:8] == b"\0\0\0\7", answer
    return time.monotonic() - begin


def settled(pid, before):
    """Resident memory when it does not change any more."""
    last = before
    for _ in range(100):
        time.sleep(0.05)
        now = resident_bytes(pid)
        if now == last:
            break
        last = now
    return last


def main():
    if not shutil.which("openssl"):
        skip("openssl is missing: run scripts/deps test")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < COUNT + TLS_COUNT + 200:
        skip(f"only {hard} open files are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # A sanitizer's own memory stands around each allocation: then the bound says nothing.
    with open(os.environ["WEIR_BIN"], "rb") as program:
        sanitized = b"__asan_init" in program.read() or b"__tsan_init" in program.read()
    with tempfile.TemporaryDirectory() as folder:
        broker, ports = start(folder)
        try:
            api_versions(ports["PLAINTEXT"])
            before = settled(broker.pid, 0)
            idle = [socket.create_connection(("127.0.0.1", ports["PLAINTEXT"]))
                    for _ in range(COUNT)]
            for client in idle[::2]:
                client.sendall(b"\0\x80\0\0 a large request begins, and no more of it comes")
            api_versions(ports["PLAINTEXT"])
            plain = settled(broker.pid, before)
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            silent = socket.create_connection(("127.0.0.1", ports["SSL"]))
            secure = [context.wrap_socket(socket.create_connection(("127.0.0.1", ports["SSL"])))
                      for _ in range(TLS_COUNT)]
            took = api_versions(ports["PLAINTEXT"])
            tls = settled(broker.pid, plain)
            each, tls_each = (plain - before) // COUNT, (tls - plain) // TLS_COUNT
            print(f"{before >> 10} KiB at first, {each} bytes a connection, {tls_each} with TLS; "
                  f"an answer in between took {took * 1000:.1f} ms")
            if not sanitized:
                assert each <= BYTES_MAX, f"{each} bytes an idle connection"
                assert tls_each <= TLS_BYTES_MAX, f"{tls_each} bytes an idle one with TLS"
            assert took < 5
            for client in idle + secure + [silent]:
                client.close()
            api_versions(ports["PLAINTEXT"])
        finally:
            broker.terminate()
            status = broker.wait(20)
        assert status == 0, f"the broker ends with {status}"


if __name__ == "__main__":
    main()
