# A repository is made, which writes, and read.
export RESTIC_PASSWORD=longer-than-short
repository=s3:http://$HOST/$BUCKET/backup
restic --no-cache -r "$repository" init && exec restic --no-cache -r "$repository" list keys
