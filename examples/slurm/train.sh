#!/bin/bash
#SBATCH --job-name=reverie
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
# One model on nodes x tasks processes. Submitted again, it carries on where the last job ended.
set -euo pipefail
data=${1:-events.parquet}
out=${2:-runs/x}

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

if [ -d "$out" ]; then
  srun reverie resume "$out"
else
  srun reverie run gan "$data" --out "$out"
fi
