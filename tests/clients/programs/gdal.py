import os

import pyogrio

pyogrio.set_gdal_config_options({"AWS_S3_ENDPOINT": os.environ["HOST"], "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"})
path = f"/vsis3/{os.environ['BUCKET']}/{os.environ['OBJECT']}"
print(path, pyogrio.read_info(path)["features"])
