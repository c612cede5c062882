"""What any program in a pod does: no credentials given, the SDK finds them."""

import boto3

print(boto3.client("sts").get_caller_identity()["Arn"])
