#!/bin/bash
#SBATCH --job-name=@NAME@
#SBATCH --array=1-@N_TASKS@@AT_ONCE@
#SBATCH --cpus-per-task=@CPUS@
#SBATCH --time=@HOURS@:00:00
#SBATCH --output=slurm-%A_%a.log

# A task takes every @N_TASKS@th of the @N_RUNS@ runs of plan.ecsv, one after another. Runs that are finished are skipped; one
# that was cut off goes on from its last photo. Submit it in its own folder, as often as needed: sbatch run_array.sh

@MESA_DIR@
: "${MESA_DIR:?set it to the folder of MESA}"
if [ -n "${MESASDK_ROOT:-}" ]; then
    source "$MESASDK_ROOT/bin/mesasdk_init.sh"
fi
set -u

plan=${SLURM_SUBMIT_DIR:-$(cd "$(dirname "$0")" && pwd)}
# One executable for all runs; build.sh makes it.
binary=${CBMINER_BINARY:-$plan/work/binary}
task=${SLURM_ARRAY_TASK_ID:?this is the script of a Slurm array: sbatch run_array.sh}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-@CPUS@}

if [ ! -f "$plan/plan.ecsv" ]; then
    echo "$plan has no plan.ecsv: submit this script in its own folder" >&2
    exit 2
fi
if [ ! -x "$binary" ]; then
    echo "$binary is not there: run build.sh first" >&2
    exit 2
fi

run_one() {
    cd "$plan/runs/$1" || return 1
    if [ -e finished ]; then
        echo "$1: finished before"
        return 0
    fi
    exec 9> .lock
    if ! flock --nonblock 9; then
        echo "$1: another task is at it"
        return 0
    fi
    mkdir -p photos LOGS1 LOGS2
    local photo
    photo=$(find photos -name 'b_*' -printf '%T@ %f\n' | sort -n | tail -n 1 | sed 's/.* b_//')
    if [ -n "$photo" ]; then
        echo "$1: goes on from photo $photo"
        # MESA looks here for the photo of a restart.
        echo "$photo" > .restart
    else
        echo "$1: begins"
        rm -f .restart
    fi
    "$binary" >> run.log 2>&1 || return 1
    rm -f .restart
    touch finished
}

failed=0
for ((number = task; number <= @N_RUNS@; number += @N_TASKS@)); do
    run=$(awk -F, -v number="$number" '$1 == number { print $2 }' "$plan/plan.ecsv")
    # In a shell of its own, which gives the lock back at its end.
    if ! (run_one "$run"); then
        echo "$run: failed; see runs/$run/run.log" >&2
        failed=1
    fi
done
exit $failed
