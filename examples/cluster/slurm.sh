#!/bin/bash
# SLURM: two nodes with four GPUs each. sbatch slurm.sh
#SBATCH --job-name flowers
#SBATCH --nodes 2
#SBATCH --ntasks-per-node 1
#SBATCH --gpus-per-node 4
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun \
  --nnodes "$SLURM_NNODES" --nproc_per_node "$SLURM_GPUS_ON_NODE" \
  --rdzv_id "$SLURM_JOB_ID" --rdzv_backend c10d --rdzv_endpoint "$FIRST:29500" \
  -m drivetrain train \
  --model timm:resnet18 --data /shared/flowers --work_dir /shared/runs/flowers --batch_size 64
