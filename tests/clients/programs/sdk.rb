require "aws-sdk-s3"

s3 = Aws::S3::Client.new(endpoint: "http://#{ENV["HOST"]}", force_path_style: true)
puts s3.list_objects_v2(bucket: ENV["BUCKET"]).contents.map(&:key)
