"""Sums the individual cases of Meson test logs: sum_tests.py TESTLOG.json...

Meson counts programs; this counts the cases that each program's TAP output lists. A program that crashed, ran out of
time or speaks no TAP counts as one case with its own result. Prints what failed, then the sum as the last line."""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
GOOD, SKIPPED = ("OK", "EXPECTEDFAIL"), "SKIP"


def count_cases(test):
    """(passed, failed, skipped) of one program."""
    passed = failed = skipped = 0
    for bad, rest in CASE.findall(test.get("stdout", "")):
        if re.search(r"#\s*skip", rest, re.IGNORECASE):
            skipped += 1
        elif bad:
            failed += 1
        else:
            passed += 1
    if passed + failed + skipped == 0:
        passed, skipped = int(test["result"] in GOOD), int(test["result"] == SKIPPED)
    if failed == 0 and test["result"] not in GOOD + (SKIPPED,) and not only_skips(test, skipped):
        failed = 1
    return passed, failed, skipped


def only_skips(test, skipped):
    """cmocka up to 1.1.5 writes a skipped case as `not ok N # SKIP`, which Meson takes for a failure."""
    return skipped > 0 and test.get("returncode") == 0


def main():
    total, bad = [0, 0, 0], []
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                counts = count_cases(test)
                total = [a + b for a, b in zip(total, counts)]
                if counts[1]:
                    bad.append((path, test))
    for path, test in bad:
        print(f"failed: {test['name']} ({test['result']}, {path})")
        print(test.get("stdout", "") + test.get("stderr", ""))
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
