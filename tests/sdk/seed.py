"""Gives the node a key that may assume roles. Seven actions, all that moto takes before it checks signatures."""

import json
import sys

import boto3

iam = boto3.client(
    "iam",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="nobody",
    aws_secret_access_key="nothing",
)


def allow(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", **statement}]})


iam.create_user(UserName="node")
key = iam.create_access_key(UserName="node")["AccessKey"]
iam.put_user_policy(UserName="node", PolicyName="assume", PolicyDocument=allow(Resource="*"))
iam.create_role(RoleName="app", AssumeRolePolicyDocument=allow(Principal={"AWS": "*"}))
iam.create_role(RoleName="hop", AssumeRolePolicyDocument=allow(Principal={"AWS": "*"}))
iam.put_role_policy(RoleName="hop", PolicyName="assume", PolicyDocument=allow(Resource="*"))
iam.create_role(RoleName="web", Path="/team/", AssumeRolePolicyDocument=allow(Principal={"AWS": "*"}))
print(key["AccessKeyId"], key["SecretAccessKey"])
