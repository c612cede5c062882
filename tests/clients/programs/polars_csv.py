import os

import polars

path = f"s3://{os.environ['BUCKET']}/{os.environ['OBJECT']}"
options = {"aws_endpoint_url": f"http://{os.environ['HOST']}", "aws_allow_http": "true", "aws_region": "us-east-1"}
# Without this it would take boto3, where that is installed.
frame = polars.scan_csv(path, storage_options=options, credential_provider=None)
print(path, frame.collect().rows())
