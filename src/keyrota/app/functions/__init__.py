"""
The Lambda functions: a file a duty, each with a role of its own that holds its own verbs (promise least-privilege).

`rotate`, `deactivate` and `delete` run on schedules; `sync` on events, through a queue, and once a day; `rotation`
speaks Secrets Manager's own protocol; `watch` and `emergency` listen to IAM. What they share: settings, work, words.
"""
