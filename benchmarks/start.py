"""How long the command takes to answer, beside Python itself.

    python -m benchmarks.start [--rounds N]

Whole processes in turn: `python -c pass`, `import leap_audit`, `leap-audit --help`, and the modules
that a child imports to open an ONNX file. The median of the seconds, and what is above Python's.
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import leap_audit": ["-c", "import leap_audit"],
    "leap-audit --version": ["-m", "leap_audit", "--version"],
    "leap-audit --help": ["-m", "leap_audit", "--help"],
    "what opens an ONNX file": ["-c", "import leap_audit.ingest.model"],
}


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(args.rounds):
        for name, words in COMMANDS.items():
            times[name].append(seconds(words))
    bare = statistics.median(times["python -c pass"])
    print("| command | seconds | above Python |\n|---|---|---|")
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:.2f} | {middle - bare:.2f} |")


if __name__ == "__main__":
    main()
