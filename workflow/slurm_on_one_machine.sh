#!/bin/sh
# A Slurm cluster of two nodes on this one machine, to try workflow/profiles/slurm without a cluster.
#
#   slurm_on_one_machine.sh start DIR     munged, slurmctld and the nodes node1 and node2
#   slurm_on_one_machine.sh kill DIR N    node N dies with its jobs, as a machine whose power is cut
#   slurm_on_one_machine.sh revive DIR N  node N is back
#   slurm_on_one_machine.sh stop DIR      all of it ends
#
# Debian and Ubuntu: apt install slurm-wlm munge. Needs root. CORES (default 1) and MEMORY_MB (default 4000) are what each
# node offers. Outside DIR there is one link, /etc/slurm/slurm.conf: Snakemake's jobs forget SLURM_CONF. A machine that
# has that file already, because it belongs to a cluster, is left alone.
set -eu
action=$1 dir=$2 node=${3:-}
PATH=$PATH:/usr/sbin:/sbin
etc=/etc/slurm/slurm.conf
export SLURM_CONF="$dir/slurm.conf"

slurmd_start() {
    ON_ONE_MACHINE="$dir/node$1" slurmd -f "$SLURM_CONF" -N "node$1"
}

# What runs on node N of this cluster: slurmd, slurmstepd (both carry the mark above) and the jobs (Slurm's own variables).
processes_of() {
    for process in /proc/[0-9]*; do
        said=$(cat "$process/environ" 2>/dev/null | tr '\0' '\n')
        case "
$said
" in
        *"
ON_ONE_MACHINE=$dir/node$1
"* | *"
SLURMD_NODENAME=node$1
"*) case $said in *"$SLURM_CONF"*) echo "${process#/proc/}" ;; esac ;;
        esac
    done
}

case $action in
start)
    for program in munged slurmctld slurmd; do
        command -v $program >/dev/null || { echo "$program is not installed (Debian: apt install slurm-wlm munge)." >&2; exit 1; }
    done
    [ -e "$etc" ] && { echo "$etc is there already: this machine has a Slurm of its own." >&2; exit 1; }
    mkdir -p "$dir" "$(dirname "$etc")" && chmod 755 "$dir"
    dd if=/dev/urandom of="$dir/munge.key" bs=128 count=1 2>/dev/null
    chmod 600 "$dir/munge.key"
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
    host=$(hostname -s)
    cat >"$SLURM_CONF" <<EOF
ClusterName=one_machine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${PORT:-27817}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
SlurmdTimeout=15
InactiveLimit=0
KillWait=5
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${PORT:-27817} + 1)) CPUs=${CORES:-1} RealMemory=${MEMORY_MB:-4000} State=UNKNOWN
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((${PORT:-27817} + 2)) CPUs=${CORES:-1} RealMemory=${MEMORY_MB:-4000} State=UNKNOWN
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
EOF
    ln -s "$SLURM_CONF" "$etc"
    mkdir -p "$dir/state" "$dir/spool.node1" "$dir/spool.node2"
    slurmctld -f "$SLURM_CONF"
    slurmd_start 1
    slurmd_start 2
    for _ in $(seq 60); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && exit 0
        sleep 0.5
    done
    echo "The nodes did not come up; see $dir/*.log." >&2
    exit 1
    ;;
kill)
    for pid in $(processes_of "$node"); do kill -9 "$pid" 2>/dev/null || true; done
    ;;
revive)
    slurmd_start "$node"
    ;;
stop)
    for name in slurmd.node1 slurmd.node2 slurmctld munged; do
        [ -f "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null || true
    done
    [ "$(readlink "$etc")" = "$SLURM_CONF" ] && rm "$etc"
    ;;
*)
    echo "Unknown action '$action': start, kill, revive or stop." >&2
    exit 1
    ;;
esac
