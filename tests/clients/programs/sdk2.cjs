const { S3 } = require("aws-sdk");

const s3 = new S3({ endpoint: `http://${process.env.HOST}`, s3ForcePathStyle: true });
s3.listObjectsV2({ Bucket: process.env.BUCKET }, (error, found) => {
  if (error) throw error;
  console.log(found.Contents.map((object) => object.Key));
});
