# Mounted in the foreground, until the object has been read as a file.
mount=$HOME/mount
mkdir -p "$mount"
timeout 50 s3fs "$BUCKET" "$mount" -f -o iam_role=auto -o url="http://$HOST" -o use_path_request_style -o endpoint=us-east-1 &
trap 'fusermount -u "$mount"; wait' EXIT
until cat "$mount/$OBJECT" 2>/dev/null; do
    kill -0 $! || exit 1
    sleep 0.2
done
echo "read $mount/$OBJECT"
