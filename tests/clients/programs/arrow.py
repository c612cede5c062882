import os

from pyarrow import fs

s3 = fs.S3FileSystem(endpoint_override=os.environ["HOST"], scheme="http", region="us-east-1")
print([found.path for found in s3.get_file_info(fs.FileSelector(os.environ["BUCKET"]))])
