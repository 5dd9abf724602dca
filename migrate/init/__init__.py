"""`migrate init`: a stack described, from AWS or from its files, as `migrate.toml`. until phase 3 (MG1)

facts       what was seen: routes, functions, tables      (pure)
aws, templates, serverless, terraform, files    where it is seen
shapes      how a table keeps connections, from a few items   (pure)
guess       from facts to a draft of the settings             (pure)
answers     what people and flags add to the draft
check       a `migrate.toml` held against the live stack
"""
