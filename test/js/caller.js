// Calls operations of the API for test/sdk by the AWS SDK for JavaScript v3: reads a call a line, writes an answer a line.
import { createInterface } from "node:readline";
import * as workmail from "@aws-sdk/client-workmail";
import * as messageflow from "@aws-sdk/client-workmailmessageflow";

const api = new workmail.WorkMailClient({ maxAttempts: 1 });
const flow = new messageflow.WorkMailMessageFlowClient({ maxAttempts: 1 });

// A time is written in seconds.
function plain(key, value) {
  return this[key] instanceof Date ? this[key].getTime() / 1000 : value;
}

async function call(operation, input) {
  try {
    const [client, commands] = operation.endsWith("RawMessageContent") ? [flow, messageflow] : [api, workmail];
    const { $metadata, ...output } = await client.send(new commands[operation + "Command"](input));
    if (output.messageContent) {
      const chunks = [];
      for await (const chunk of output.messageContent) {
        chunks.push(chunk);
      }
      output.messageContent = Buffer.concat(chunks).toString("base64");
    }
    return { output };
  } catch (e) {
    // The SDK's own class, where it has one, or else its base.
    return { error: e.name, type: e.constructor.name, message: e.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify(await call(request.call, request.input), plain));
}
