"""What happens when processes are killed, disks fill up, files rot and object storage stutters."""
