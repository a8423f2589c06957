"""Runs test suites of a build folder without Meson: run_tests.py BUILD LOG JOBS SUITE...

BUILD may have been made on another machine or under another path. LOG gets what `meson test` writes as testlog.json,
as far as sum_tests.py reads it: one object a line. Exit code 2 where the suites have no tests; what failed is in LOG
alone."""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys

SKIPPED = 77  # the exit code by which a program without TAP says so


def read(build, name):
    with open(build / "meson-info" / name, encoding="utf-8") as file:
        return json.load(file)


def moved(build):
    """A function that puts the folders of today into a path of the day the build was made."""
    then = read(build, "meson-info.json")["directories"]
    root = str(pathlib.Path(__file__).resolve().parents[2])
    pairs = sorted(((then["build"], str(build)), (then["source"], root)), key=lambda p: -len(p[0]))

    def move(text):
        for old, new in pairs:
            if text == old or text.startswith(old + "/"):
                return new + text[len(old):]
        return text

    return move


def result_of(code, protocol, out):
    if protocol == "tap" and code == 0 and out.startswith("1..0 # SKIP"):
        return "SKIP"
    if protocol != "tap" and code == SKIPPED:
        return "SKIP"
    return "OK" if code == 0 else "FAIL"


def run(test, build, move):
    env = {name: move(value) for name, value in test["env"].items()}
    log = {"name": test["name"], "stdout": "", "stderr": ""}
    try:
        child = subprocess.Popen([move(word) for word in test["cmd"]], cwd=build, env={**os.environ, **env},
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 errors="replace", start_new_session=True)
    except OSError as error:
        return {**log, "result": "FAIL", "returncode": -1, "stderr": f"{error}\n"}
    try:
        out, err = child.communicate(timeout=test["timeout"])
        result = result_of(child.returncode, test["protocol"], out)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # what it started would keep its output open, and us waiting
        out, err = child.communicate()
        result = "TIMEOUT"
    return {**log, "stdout": out, "stderr": err, "result": result, "returncode": child.returncode}


def main():
    build, log, jobs, suites = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    wanted = [test for test in read(build, "intro-tests.json")
              if any(name.split(":")[-1] in suites for name in test["suite"])]
    move = moved(build)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, open(log, "w", encoding="utf-8") as file:
        for result in pool.map(lambda test: run(test, build, move), wanted):
            file.write(json.dumps(result) + "\n")
    return 0 if wanted else 2


if __name__ == "__main__":
    sys.exit(main())
