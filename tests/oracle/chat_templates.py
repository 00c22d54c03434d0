#!/usr/bin/python3
"""Renders chats with Jinja as transformers does and compares with the texts that came along.

Run: chat_templates.py CASES.json, a list of {name, template, bos, eos, messages, ask, remove, expected}; `remove` is cut out
of what Jinja gives. Exit status 0: all the same; 1: a difference, shown; 77: no jinja2. Called by tests/text/test_rows_oracle.c.
"""
import json
import sys

try:
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    sys.exit(77)


def stop(message):
    raise TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
env.globals["raise_exception"] = stop
env.filters["tojson"] = lambda x, indent=None: json.dumps(x, ensure_ascii=False, indent=indent)
bad = 0
cases = json.load(open(sys.argv[1]))
for c in cases:
    got = env.from_string(c["template"]).render(messages=c["messages"], add_generation_prompt=c["ask"], bos_token=c["bos"], eos_token=c["eos"])
    got = got.replace(c["remove"], "") if c["remove"] else got
    if got != c["expected"]:
        bad += 1
        print(f"{c['name']}:\n  jinja  {got!r}\n  fettle {c['expected']!r}")
print(f"{len(cases) - bad} of {len(cases)} texts are the same")
sys.exit(1 if bad else 0)
