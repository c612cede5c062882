"""Gives the node a key that may assume roles, and each of N roles a bucket of its own with one object in it.
Takes the address of moto and N; prints the key, and last how many actions that took: moto checks none of them."""

import json
import sys

import boto3

given = {"region_name": "us-east-1", "aws_access_key_id": "seed", "aws_secret_access_key": "seed"}
iam, s3 = [boto3.client(service, endpoint_url=sys.argv[1], **given) for service in ("iam", "s3")]


def allow(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


iam.create_user(UserName="node")
key = iam.create_access_key(UserName="node")["AccessKey"]
iam.put_user_policy(UserName="node", PolicyName="assume", PolicyDocument=allow(Action="sts:AssumeRole", Resource="*"))
for number in range(1, int(sys.argv[2]) + 1):
    role, bucket = f"app-{number}", f"bucket-{number}"
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=allow(Action="sts:AssumeRole", Principal={"AWS": "*"}))
    own = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=allow(Action="s3:*", Resource=own))
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"book-{number}.csv", Body=b"title,pages\nMoby Dick,635\n")
print(key["AccessKeyId"], key["SecretAccessKey"])
