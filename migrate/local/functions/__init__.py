"""Lambda execution of the local AWS: AWS's own runtime clients behind a Runtime API of ours. until phase 3

Where it differs from AWS Lambda:

- Code lies in a folder of the state directory (LAMBDA_TASK_ROOT names it; stack traces show it), not in /var/task;
  layers are on the search paths but not in /opt. Both can be written to. /tmp is the machine's.
- Memory and CPU are not limited; MemorySize appears in the log only. Processes run as the user who started them.
- One process per worker, a few workers per function (configurable): invocations beyond that wait for one.
- A runtime whose interpreter is not installed runs on the one that is; the function's log says so.
- Python and Node.js only; no container images, extensions, SnapStart, response streaming, X-Ray or VPC. Node.js
  functions find the AWS SDK only if their zip or a layer contains it.
- An initialisation may take 10 s or the function's Timeout, whichever is longer, and is not repeated.
- Asynchronous events are retried after one and two seconds (AWS: one and two minutes), wait in memory, and are lost
  with a restart. Destinations and dead-letter targets: SQS, SNS, Lambda.
- START/END/REPORT of invocations that printed nothing are left out of the log beyond 20 a second per function.
- Aliases with weights always run their main version. Execution roles are not evaluated.
"""

from migrate.local.functions.service import LocalFunctions

__all__ = ["LocalFunctions"]
