#!/bin/sh
# dyttrain doctor --ranks: what it says of two ranks, of one, and of ranks that cannot talk.
. "$(dirname "$0")/../cli/tap.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
