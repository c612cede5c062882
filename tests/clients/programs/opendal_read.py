import os

import opendal

operator = opendal.Operator(
    "s3", bucket=os.environ["BUCKET"], endpoint=f"http://{os.environ['HOST']}", region="us-east-1"
)
print(os.environ["OBJECT"], operator.read(os.environ["OBJECT"]))
