"""What any program in a pod does: no credentials given, the SDK finds them. Driven by lines on standard input: `who`
asks STS and prints an ARN or an error, `later SECONDS` puts the clock forward and says `ok`."""

import sys
import time

import boto3
import time_machine

# It looks for credentials as it is made, and a container provider that refuses ends that.
client = None
clock = None

for line in sys.stdin:
    word, *seconds = line.split()
    if word == "later":
        clock = clock or time_machine.travel(time.time(), tick=True).start()
        clock.shift(float(seconds[0]))
        print("ok", flush=True)
        continue
    try:
        client = client or boto3.client("sts")
        print(client.get_caller_identity()["Arn"], flush=True)
    except Exception as error:
        print(f"error: {type(error).__name__}: {error}".replace("\n", " "), flush=True)
