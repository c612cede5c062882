exec rclone --config "$HOME/rclone.conf" ls ":s3:$BUCKET" --s3-env-auth --s3-endpoint "http://$HOST" --s3-region us-east-1
