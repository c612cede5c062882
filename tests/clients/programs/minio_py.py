import os

from minio import Minio
from minio.credentials import IamAwsProvider

client = Minio(endpoint=os.environ["HOST"], secure=False, region="us-east-1", credentials=IamAwsProvider())
print([found.object_name for found in client.list_objects(os.environ["BUCKET"])])
