exec /usr/bin/aws --endpoint-url "http://$HOST" s3 ls "s3://$BUCKET"
