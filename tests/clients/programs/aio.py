import asyncio
import os

from aiobotocore.session import get_session


async def main():
    async with get_session().create_client("s3", endpoint_url=f"http://{os.environ['HOST']}") as s3:
        print([found["Key"] for found in (await s3.list_objects_v2(Bucket=os.environ["BUCKET"]))["Contents"]])


asyncio.run(main())
