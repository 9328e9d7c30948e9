"""Puts models in force one by one and watches the server's memory; run by swaps.sh.

usage: _swap.py BROKERS HTTP PID COUNT MODELS SCRATCH

Each model is one of the PMML samples in MODELS with a comment of its own, so that its content is
new and has to be loaded; five keys in turn: five versions stand in the table. The next one is
sent when the one before is in force. Prints the curve; exit 1 when memory left its bounds, or a
model was refused.
"""
import http.client
import pathlib
import re
import subprocess
import sys
import time

KEYS = 5
WAIT_SECONDS = 20
LINES = 40  # of the curve
TOLERANCE = 0.05


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def descriptor(name, content):
    """ModelDescriptor: name 1, dataType 3, modeltype 4 (PMML = 1), data 5."""
    def field(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data
    return field(1, name) + field(3, b"wine") + varint(4 << 3) + varint(1) + field(5, content)


class Server:
    def __init__(self, address, pid):
        self.connection = http.client.HTTPConnection(address, timeout=10)
        self.pid = pid

    def figures(self):
        """The sums of the figures over their labels."""
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        sums = {}
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.M):
            sums[name] = sums.get(name, 0) + float(value)
        return sums

    def resident_mb(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def wait_for_swaps(self, count):
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            figures = self.figures()
            if figures["weir_model_swaps_total"] >= count:
                return figures
            time.sleep(0.005)
        sys.exit(f"swap {count} did not take place in {WAIT_SECONDS} s")


def main():
    brokers, address, pid, count, models, scratch = sys.argv[1:]
    count = int(count)
    contents = [path.read_bytes() for path in sorted(pathlib.Path(models).glob("*.pmml"))]
    server = Server(address, pid)
    first = int(server.wait_for_swaps(1)["weir_model_swaps_total"])
    curve, began = [], time.monotonic()
    every, warm_up = max(count // LINES, 1), count // 10
    print("   swaps  resident MB  records scored  seconds")
    for i in range(1, count + 1):
        content = contents[i % len(contents)] + f"<!-- {i} -->\n".encode()
        pathlib.Path(scratch).write_bytes(descriptor(b"m%d" % (i % KEYS), content))
        subprocess.run(["kcat", "-b", brokers, "-P", "-t", "models", "-p", "0",
                        "-k", f"wine/m{i % KEYS}", scratch], check=True)
        figures = server.wait_for_swaps(first + i)
        if i % every == 0 or i == warm_up:
            curve.append((i, server.resident_mb()))
            print(f"{i:8} {curve[-1][1]:12.1f} {figures['weir_results_total']:15.0f} "
                  f"{time.monotonic() - began:8.0f}", flush=True)
    warm = next(mb for i, mb in curve if i >= warm_up)
    low, high = (pick(mb for i, mb in curve if i >= warm_up) for pick in (min, max))
    print(f"after {warm_up} swaps {warm:.1f} MB, from then on {low:.1f} to {high:.1f} MB "
          f"({(low / warm - 1) * 100:+.1f} % to {(high / warm - 1) * 100:+.1f} %); "
          f"{figures['weir_model_loads_total']:.0f} loads, "
          f"{figures['weir_model_refusals_total']:.0f} refusals")
    if figures["weir_model_refusals_total"]:
        sys.exit("models were refused")
    if high > warm * (1 + TOLERANCE):
        sys.exit(f"memory grew by more than {TOLERANCE:.0%}")


if __name__ == "__main__":
    main()
