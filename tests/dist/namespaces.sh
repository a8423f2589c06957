#!/bin/sh
# Ranks on three hosts, each of which is a network namespace with a name of its own, joined by virtual links and a
# bridge: how they meet, a slow network, and a link that is cut in mid-run. Needs root and `ip netns`.
# Usage: namespaces.sh PROGRAM ROOT TEST-RANK RELAY
. "$2/tests/cli/tap.sh"
. "$root/tests/dist/dist.sh"
test_rank=$(realpath "$OLDPWD/$3" 2>/dev/null || realpath "$3")
relay=$(realpath "$OLDPWD/$4" 2>/dev/null || realpath "$4")
hosts='0 1 2'
space=dyttrain-$$

# --- the hosts ---
processes() { for host in $hosts; do ip netns pids "$space-$host" 2>/dev/null; done; }

tear_down() {
    # shellcheck disable=SC2046 # numbers
    kill -s KILL $(processes) 2>/dev/null
    for host in hub $hosts; do ip netns del "$space-$host" 2>/dev/null; done
    rm -rf "$work"
}
trap tear_down EXIT

set_up() {
    ip netns add "$space-hub" && ip -n "$space-hub" link add name bridge type bridge &&
        ip -n "$space-hub" addr add 10.77.0.100/24 dev bridge && ip -n "$space-hub" link set bridge up || return
    for host in $hosts; do
        ip netns add "$space-$host" &&
            ip link add name "port$host" netns "$space-hub" type veth peer name cable netns "$space-$host" &&
            ip -n "$space-hub" link set "port$host" master bridge up &&
            ip -n "$space-$host" addr add "10.77.0.$((host + 1))/24" dev cable &&
            ip -n "$space-$host" link set lo up && ip -n "$space-$host" link set cable up || return
    done
}

# What mpirun starts in the place of ssh, and what we start: on-host ADDRESS COMMAND...
cat >on-host <<END2
#!/bin/sh
host=\$((\${1##*.} - 1))
shift
exec ip netns exec $space-\$host unshare --uts sh -c "hostname node\$host; exec \$*"
END2
chmod +x on-host

if ! { [ "$(id -u)" = 0 ] && set_up && ./on-host 10.77.0.1 true; } 2>"$work/.err"; then
    echo "1..0 # SKIP no network namespaces here: this needs root, iproute2 and unshare"
    cat "$work/.err" >&2
    exit 0
fi
cut() { ip -n "$space-$1" link set cable down; }
mend() { ip -n "$space-$1" link set cable up; }

# together COMMAND...: a rank on each host, by environment variables; $master is where the others look for rank 0,
# $codes how they ended, out-RANK what they said
together() {
    codes='' ranks=''
    for host in $hosts; do
        at=10.77.0.1:29500
        [ "$host" = 0 ] || at=${master:-$at}
        ./on-host "10.77.0.$((host + 1))" env RANK="$host" WORLD_SIZE=3 MASTER_ADDR="${at%:*}" MASTER_PORT="${at#*:}" \
            timeout 120 "$@" >"out-$host" 2>&1 </dev/null &
        ranks="$ranks $!"
    done
    for rank in $ranks; do
        wait "$rank"
        codes="$codes $?"
    done
    out=$(cat out-*) err=$codes
}

# --- meeting and latency ---
together "$test_rank" 30 30 30 5 collectives place close
[ "$codes" = ' 0 0 0' ] && has out 'rank 1 of 3, local 0 of 1' && has out 'node 2' &&
    [ "$(grep -c '^done' out-2)" = 1 ]
is 'three hosts meet by MASTER_ADDR, and carry collectives'

ip netns exec "$space-hub" "$relay" 29501 10.77.0.1 29500 100 &
slow=$!
master=10.77.0.100:29501
began=$(date +%s)
together "$test_rank" 30 30 30 2 collectives watch step sleep3 step close
took=$(($(date +%s) - began))
[ "$codes" = ' 0 0 0' ] && [ "$took" -ge 5 ]
is 'a network that holds everything back for 100 ms each way is endured'

{ sleep 4; kill -s STOP $slow; } &
together "$test_rank" 30 30 30 4 barrier sleep60 close
[ "$codes" = ' 9 9 9' ] && has out 'no sign of life for' && grep -q 'ranks 1-2 (on node1, node2)' out-0
is 'a network that falls silent ends all ranks'
kill -s KILL $slow
master=

{ sleep 4; cut 2; } &
began=$(date +%s)
together "$test_rank" 30 30 30 15 barrier sleep90 close
took=$(($(date +%s) - began))
mend 2
[ "$codes" = ' 9 9 9' ] && [ "$took" -le 34 ] && grep -q 'rank 2 on node2 (process .*no sign of life for' out-0 &&
    grep -q 'rank 2 on node2 ' out-1 && grep -q 'rank 0 on node0 ' out-2
is 'a link cut: all ranks end within 30 seconds, and name the rank behind it'

# --- mpirun with a host file ---
for host in $hosts; do echo "10.77.0.$((host + 1)) slots=1"; done >hosts
mpirun="mpirun --allow-run-as-root --mca plm_rsh_agent $work/on-host --mca plm_rsh_no_tree_spawn 1 --mca pml ob1"
mpirun="$mpirun --mca btl self,tcp --mca mpi_yield_when_idle 1 --mca orte_tmpdir_base $work"

# shellcheck disable=SC2086 # words
./on-host 10.77.0.1 timeout 120 $mpirun --hostfile hosts -np 3 -x DYTTRAIN_MPI_PLUGIN "$program" doctor --ranks \
    --device cpu >out-0 2>&1 </dev/null
code=$? out=$(cat out-0)
[ "$code" = 0 ] && has out '3 ranks on 3 hosts (launch: MPI)' && has out 'node2, process' && has out 'slowest link'
is 'doctor --ranks over MPI on three hosts'

write_vit vit.yaml
sed -i 's/checkpoint: .*/checkpoint: {every_steps: 20, keep: 100}/; s/train: .*/train: {steps: 300}/
    s/batch: 16/batch: 48/; s/width: 16, depth: 2/width: 48, depth: 4/; s/image: 8/image: 16/' vit.yaml
ranks 3 vit.yaml run.name=whole
[ "$code" = 0 ]
is 'three ranks on one host'

# Cuts a host off once there is a checkpoint, until no rank is left anywhere, and no mpirun that waits for the host.
running() { for process in $(processes); do cat "/proc/$process/comm"; done 2>/dev/null | grep -qx "$1"; }
cut_for_a_while() {
    for _ in $(seq 1200); do
        [ ! -e runs/cut/checkpoints/step-00000040/manifest.json ] || break
        sleep 0.05
    done
    cut 1
    began=$(date +%s)
    while running "$(basename "$program")" && [ $(($(date +%s) - began)) -lt 90 ]; do sleep 0.2; done
    echo $(($(date +%s) - began)) >took
    while running mpirun && [ $(($(date +%s) - began)) -lt 90 ]; do sleep 0.2; done
    mend 1
}
cut_for_a_while &
CONFIG=vit.yaml RUN_DIR=runs RUN_NAME=cut RANKS=3 RANKS_PER_HOST=1 HOST_FILE=hosts DYTTRAIN=$program MPIRUN=$mpirun \
    RESTART_SECONDS=3 GONE_SECONDS=5 ./on-host 10.77.0.1 "$root/scripts/launch_mpirun.sh" >out-0 2>&1 </dev/null
code=$? out=$(cat out-0) err=$(cat took)
wait $!
[ "$(cat took)" -le 30 ] && [ "$(grep -c 'no sign of life' out-0)" = 1 ] &&
    grep -q 'rank 1 on node1 .*no sign of life' out-0
is 'a link cut in mid-run ends all ranks within 30 seconds, with one line that names the rank behind it'
[ "$code" = 0 ] && [ "$(grep -c 'launch_mpirun.sh: exit code 137' out-0)" = 1 ] &&
    same_bits whole cut
is 'mpirun, which waits for the host, is ended, the run starts again, and has the losses of one host, digit for digit'
for file in runs/whole/checkpoints/step-00000300/*.safetensors; do
    cmp "$file" "runs/cut/${file#runs/whole/}" || break
done >&2 && [ -e runs/cut/checkpoints/step-00000300/manifest.json ]
is 'and its checkpoint, to the bit'
done_testing
