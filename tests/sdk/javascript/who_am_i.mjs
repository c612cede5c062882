// What any program in a pod does: no credentials given, the SDK finds them. Driven by lines on standard input: `who`
// asks STS and prints an ARN or an error, `later SECONDS` puts the clock forward and says `ok`.

import { createInterface } from "node:readline";

import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromNodeProviderChain } from "@aws-sdk/credential-providers";

let ahead = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [RealDate.now() + ahead]));
  }
  static now() {
    return RealDate.now() + ahead;
  }
};

// The chain that the client takes by itself. No variable of its own sets its timeout, so one of ours may: for the metadata
// service, since a busy machine is not what's tested. A container provider also pauses that long between requests.
const timeout = process.env.CHAIN_TIMEOUT_MS;
const client = new STSClient({ credentials: fromNodeProviderChain(timeout ? { timeout: Number(timeout) } : {}) });

for await (const line of createInterface({ input: process.stdin })) {
  const [word, seconds] = line.split(" ");
  if (word === "later") {
    ahead += Number(seconds) * 1_000;
    console.log("ok");
    continue;
  }
  try {
    console.log((await client.send(new GetCallerIdentityCommand())).Arn);
  } catch (error) {
    console.log(`error: ${error.name}: ${error.message}`.replaceAll("\n", " "));
  }
}
