#!/usr/bin/python3
"""What Jinja makes of chat templates, in the mode that transformers runs them.

Run: jinja_cases.py SHARED OUT.json, SHARED the folder with vocab/ or "-" for the snippets of this file alone. Writes a list of
{name, template, vars, expected}, expected null where Jinja raises. Exit status 77: no jinja2. Called by
tests/text/test_jinja.c.
"""
import copy
import datetime
import json
import os
import sys

try:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    sys.exit(77)


class Generation(Extension):
    """{% generation %} as transformers has it, its text passed through."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    def _pass(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: datetime.datetime.now().strftime(f)

# ---- conversations ----

CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}
TEXT_CALL = copy.deepcopy(CALL)
TEXT_CALL["function"]["arguments"] = '{"city": "Zürich", "days": 2}'
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather.\nOf a 'city' \"today\" <b>.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name", "enum": ["Zürich", "Rome"]},
                    "days": {"type": "integer", "default": 1},
                    "flags": {"type": "array", "items": {"type": "string"}},
                    "more": {"type": "object", "properties": {"x": {"type": "number"}}},
                },
                "required": ["city"],
            },
            "return": {"type": "string", "description": "words"},
        },
    }
]


def says(role, content, **more):
    return {"role": role, "content": content, **more}


USER, BYE = says("user", "Why does the pump leak?"), says("user", "and now?")
CHATS = {
    "plain": [USER, says("assistant", "The seal is worn.")],
    "question": [says("system", "Be brief."), USER],
    "several": [says("system", "You answer briefly.\n"), USER, says("assistant", "1"), BYE, says("assistant", "2"), BYE],
    "odd": [says("system", " S "), says("user", "\u00a0no break\u3000\n"), says("assistant", "\n\n\ttab\n "), says("user", "{{ 'x' }} {% %} <|im_end|>")],
    "unicode": [USER, says("assistant", "naïve ☃ \U0001f600 <b>&amp;'\"\\"), BYE],
    "thinking": [USER, says("assistant", "<think>\nfirst\n</think>\n\nThe seal."), BYE, says("assistant", "<think>so</think>It is.")],
    "reasoning": [USER, says("assistant", "The seal.", reasoning_content="it drips"), BYE, says("assistant", "Yes.", reasoning_content="again\n")],
    "call": [says("system", "S"), USER, says("assistant", None, tool_calls=[CALL]), says("tool", '{"rain": true}', name="weather", tool_call_id="abcdefghi"), says("assistant", "Rain."), BYE],
    "empty call": [USER, says("assistant", "", tool_calls=[CALL, CALL]), says("tool", "1", tool_call_id="abcdefghi"), says("tool", "2", tool_call_id="abcdefghi"), says("assistant", "done")],
    "text call": [USER, says("assistant", "Let me see.", tool_calls=[TEXT_CALL]), says("tool", "sun", name="weather", tool_call_id="abcdefghi")],
    "wrong order": [says("assistant", "I"), says("assistant", "am"), USER],
    "no messages": [],
    "empty": [says("user", ""), says("assistant", "")],
    "parts": [says("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]), says("assistant", "three")],
    "switches": [says("system", "short /no_think"), USER],
    "other role": [says("narrator", "Once.")],
}


def variables(chat, ask, tools):
    return {"messages": chat, "tools": tools, "documents": None, "add_generation_prompt": ask, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


# ---- templates ----


def templates(shared):
    for folder, _, files in sorted(os.walk(os.path.join(shared, "vocab"))):
        for file in sorted(files):
            path = os.path.join(folder, file)
            name = os.path.relpath(path, shared)
            if file.endswith(".jinja"):
                yield name, open(path, encoding="utf-8", newline="").read()
            elif file in ("tokenizer_config.json", "chat_template.json"):
                text = json.load(open(path, encoding="utf-8")).get("chat_template")
                for item in text if isinstance(text, list) else [{"template": text}]:
                    if item["template"]:
                        yield f"{name} {item.get('name', '')}", item["template"]


VALUES = {
    "s": "Hello, World", "t": "  two words\n", "u": "Ünïcödé ☃ strasse", "n": 7, "m": -3, "f": 2.5, "g": 1e22, "b": True, "x": None,
    "l": [3, 1, 2], "w": ["pear", "Apple", "fig", "apple"], "d": {"b": 1, "a": [1, {"c": None}], "Z": "z'\"\n"}, "e": [], "h": "<b>&'\"",
    "r": [{"k": "a", "v": 2, "o": {"p": 1}}, {"k": "B", "v": 1}, {"k": "c"}], "lines": "one\n\ntwo\r\nthree\n", "big": 1234567890123, "z": 0,
}

SNIPPETS = r"""
{{ s }}|{{ n }}|{{ f }}|{{ g }}|{{ b }}|{{ x }}|{{ missing }}|{{ l }}|{{ d }}|{{ w }}|{{ (1,) }}|{{ (1, 'a') }}|{{ {} }}|{{ [] }}|{{ () }}
{{ 1.0 }} {{ 0.1 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456789.125 }} {{ 1/3 }} {{ 100.0 }} {{ 1_000 }} {{ 2.5e3 }} {{ -0.0 }} {{ 1e15 }} {{ 0.0001 }}
{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}
{{ 1 if b else 2 }} {{ 1 if not b }} {{ 'a' if x else 'b' if b else 'c' }} {{ b and s }} {{ x or 'or' }} {{ not x }} {{ not not s }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' in s }} {{ 'W' not in s }} {{ 1 in l }} {{ 'a' in d }} {{ not 1 in l }} {{ x == none }} {{ missing == missing }} {{ true == 1 }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[:-3] }} {{ u[0] }} {{ u[1:6] }} {{ l[1:] }} {{ l[::2] }} {{ l[-2:] }} {{ l[5:] }} {{ s[::3] }} {{ l[9] }} {{ u[-1] }} {{ u[5:1:-2] }} {{ l[:100:-1] }} {{ l[-100:2] }}
{{ d.b }} {{ d['a'] }} {{ d.a[1].c }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d.nothing }} {{ l.0 }}
{{ missing.x }}
{{ missing['x'] }}
{{ missing + 'a' }}
{{ missing() }}
{{ x.y }}|{{ n.y }}|{{ s.y }}|{{ l.y }}
{{ x + 'a' }}
{{ 1 + 'a' }}
{{ s + 1 }}
{{ none < 1 }}
{{ s ~ 1 ~ x ~ missing ~ l }} {{ 'a' 'b' "c" }} {{ 'a' * 3 }} {{ 2 * 'ab' }} {{ [1] * 2 }} {{ [1] + [2] }} {{ (1,) + (2,) }}
{{ '%s is %d %.2f %r %%' % ('a', 3, 2.345, 'q') }} {{ 'one %s' % 'x' }} {{ '%s-%s' | format(1, 'b') }}
{{ '%s %s' % 'x' }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.capitalize() }} {{ s.swapcase() }} {{ u.upper() }} {{ u.lower() }} {{ "they're bill's" | title }} {{ "they're bill's".title() }}
{{ t.strip() }}| {{ t.lstrip() }}| {{ t.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'xyaxy'.lstrip('yx') }} {{ 'axy'.rstrip('yx') }} {{ t | trim }} {{ 'xxa' | trim('x') }} {{ u.strip('☃Ü') }}
{{ s.split(',') }} {{ t.split() }} {{ s.split('l', 1) }} {{ s.rsplit('l', 1) }} {{ ' a  b c '.split(none, 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ 'a,b'.split(',')[-1] }} {{ ''.split() }} {{ ''.split(',') }} {{ lines.splitlines() }} {{ lines.splitlines(true) }}
{{ s.startswith('He') }} {{ s.endswith(('d', 'x')) }} {{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') }} {{ s.count('l') }} {{ u.find('☃') }} {{ s.index('W') }} {{ 'aaa'.count('') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s | replace('o', '0') }} {{ 'ab'.replace('', '-') }} {{ s | replace('l', 'L', 2) }}
{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }} {{ '1' is upper }} {{ 'a' is lower }}
{{ '-'.join(w) }} {{ w | join(', ') }} {{ l | join }} {{ r | join('/', attribute='k') }} {{ '{} {} {0}'.format(1) if false }} {{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{k}'.format(k=3) }} {{ '{{}}'.format() }}
{{ l | sort }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ l | sort(reverse=true) }} {{ r[:2] | sort(attribute='v') | map(attribute='k') | list }} {{ d | dictsort }} {{ d | dictsort(true) }} {{ r | map(attribute='o.p') | list }}
{{ l | length }} {{ s | length }} {{ u | count }} {{ d | length }} {{ l | first }} {{ l | last }} {{ e | first }} {{ l | min }} {{ l | max }} {{ w | max }} {{ l | sum }} {{ r[:2] | sum(attribute='v') }} {{ l | reverse | list }} {{ s | reverse }} {{ e | max }}
{{ w | map('upper') | list }} {{ r | map(attribute='v', default=0) | list }} {{ l | select('odd') | list }} {{ l | reject('equalto', 1) | list }} {{ r | selectattr('v') | list }} {{ r | selectattr('k', 'equalto', 'a') | list }} {{ r | rejectattr('v', 'defined') | list }} {{ w | unique | list }} {{ l | select('gt', 1) | list }} {{ [0, 1] | select | list }}
{% if e | select %}generator is true{% endif %}{% if e | list %}no{% endif %}{{ e | map('upper') | join }}
{{ l | map('upper') | length }}
{{ x | default('d') }} {{ missing | default('d') }} {{ '' | default('d', true) }} {{ missing | d }} {{ s | d('no') }}
{{ '3' | int }} {{ 'a' | int }} {{ '2.7' | int }} {{ 2.7 | int }} {{ '1e2' | float }} {{ 'q' | float }} {{ 'q' | int(5) }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ 2.1 | round(0, 'ceil') }} {{ -3 | abs }} {{ '  12 ' | int }} {{ none | int }} {{ 3.5 | round | int }}
{{ 1 | string }} {{ l | string }} {{ none | string }} {{ s | list }} {{ d | list }} {{ d | items | list }} {{ 'a b c' | wordcount }} {{ 'word' | capitalize }} {{ [1,2,3,4,5] | batch(2) | list }} {{ [1,2,3] | batch(2, 0) | list }}
{{ h | e }} {{ h | safe }} {{ h | safe + h }} {{ h + (h | safe) }} {{ (h | e) | e }} {{ (h | safe) ~ h }} {{ (h | safe).upper() + '<' }} {{ [h | safe] }} {{ '%s' | safe | format(h) }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ l | tojson(separators=(',', ':')) }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ 1.0 | tojson }} {{ [true, none, 1e100, 1.5] | tojson }} {{ '\u0001\x7f/\b' | tojson }} {{ '\U0001f600' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ {1: 2, none: 3, true: 4} | tojson }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=1) }} {{ [[1, []], {}] | tojson(indent=4) }}
{{ missing | tojson }}
{{ lines | indent }} {{ lines | indent(2, true) }} {{ lines | indent(2, blank=true) }} {{ 'a\nb' | indent('> ') }} {{ '' | indent(first=true) }}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{{ loop.changed(i > 1) }};{% else %}none{% endfor %}{% for i in e %}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in u %}{{ c }}.{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for i in range(10) if i % 2 %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% endfor %}{% for i in range(2, 8, 3) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 4 %}{% break %}{% endif %}{{ i }}{% for j in range(3) %}{% if j %}{% break %}{% endif %}{{ j }}{% endfor %}{% endfor %}
{% set a = 1 %}{% for i in l %}{{ a }}{% set a = 2 %}{{ a }}{% endfor %}{{ a }}{% if b %}{% set a = 3 %}{% endif %}{{ a }}{% set a, q = 4, 5 %}{{ a }}{{ q }}
{% set ns = namespace(x=1, y='') %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.z = i %}{% endfor %}{{ ns.x }}{{ ns.z }}{{ ns.q }}{% set ns2 = namespace({'m': 1}) %}{{ ns2.m }}
{% set c %}block {{ n }}{% endset %}{{ c }}|{% set c | upper | replace('B', 'x') %}block{% endset %}{{ c }}{% filter upper %}shout {{ s }}{% endfilter %}{% filter trim | lower %}  A  {% endfilter %}
{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(c=1, a=2) }}{{ m() }}{{ m(1) | length }}{% set k = m(9) %}{{ k }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(q=2) }}
{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro w(t) %}<{{ t }}>{{ caller(1, 2) }}</{{ t }}>{% endmacro %}{% call(a, b) w('p') %}in {{ a }}{{ b }}{{ s }}{% endcall %}
{% macro late() %}{{ later }}{% endmacro %}{% set later = 'yes' %}{{ late() }}{% for i in [1] %}{% set later = 'no' %}{{ late() }}{% endfor %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}{% raw %}{{ raw }} {% if %}{% endraw %}{# comment #}{% generation %}gen{% endgeneration %}
{{ s is string }}{{ n is number }}{{ x is none }}{{ missing is defined }}{{ missing is undefined }}{{ missing is not defined }}{{ l is iterable }}{{ s is iterable }}{{ d is mapping }}{{ l is sequence }}{{ d is sequence }}{{ b is boolean }}{{ n is integer }}{{ f is float }}{{ b is integer }}{{ b is number }}{{ 4 is even }}{{ 3 is odd }}{{ 9 is divisibleby 3 }}{{ 1 is in l }}{{ 1 is in(l) }}{{ 'x' is eq 'x' }}{{ x is sameas none }}{{ true is true }}{{ 1 is true }}{{ range is callable }}{{ 'upper' is filter }}{{ 'odd' is test }}{{ 5 is gt 3 }}{{ n is not string }}{{ missing is iterable }}{{ n is iterable }}
{{ s is string and n is number or x }}{{ 'a' if s is string else 'b' }}{{ (s is defined) == true }}{{ not missing is defined }}{{ s|length > 3 and 'x' }}{{ -n|abs }}{{ (n + 1)|string + 'a' }}{{ s|upper|lower ~ 'x'|upper }}{{ l|length is gt 2 }}
{{ 'a\tb\x41\u2603\'\"\\ \d \
z' }} {{ "\101" }} {{ 'it''s' }}
  {% if b %}
  line
  {% endif %}
    {%- if b %}   minus {%- endif %}  x {%+ if b %} plus {% endif +%}
 {{- ' put ' -}}   
 {#- c -#}   y {# c #}
  {# alone #}
end
{{ {'a': {'b': [1, {'c': 2}]}}['a'].b[1].c }} {{ {'a': 1}.a }} {{ [1, 2,] }} {{ {'x': 1,} }} {{ ((1)) }} {{ ((1, 2)) }} {{ {}.items() | list }}
{{ raise_exception('stop ' + s) }}
{{ l.append(4) }}
{{ d.update({}) }}
{{ s | nofilter }}
{{ s is notest }}
{% if %}{% endif %}
{% for %}
{% endfor %}
{% if b %}
{{ s
{{ s }
{% include 'x' %}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ l['a'] }} {{ d[1] }} {{ s['upper']() }} {{ d['get']('b') }}
{{ dict(a=1, b='x') }} {{ dict({'q': 1}, r=2) }}
{{ range(200000) | length }}
{% for a, b in [1] %}{% endfor %}
{% set d.x = 1 %}
{{ n() }}
{{ s.nomethod() }}
{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ 'a' < 1 }}
{{ [none, 1] | sort }}
{{ x | length }}
{% for i in n %}{% endfor %}
{{ l | join(',') | upper }}{{ l | map('string') | join(':') }}{{ r | map(attribute='k') | map('lower') | list }}
{{ [1,2,3] | tojson | safe }} {{ '' ~ none }} {{ true | string | lower }} {{ 5 | tojson }}
{{ big }} {{ big * 1000 }}
{{ (1, 2)[0] }}|{{ [1, [2, 3]] == [1, [2, 3]] }}|{{ {'a': 1} == {'a': 1} }}|{{ (1, 2) == [1, 2] }}|{{ 1 == '1' }}|{{ [] == () }}
{{ loop }}
"""


def snippets():
    text, out = SNIPPETS.strip("\n").split("\n"), []
    joined = []
    for line in text:  # lines that do not begin a snippet of their own
        if joined and (joined[-1].endswith("\\") or line[:1] == " " or line == "end" or line.startswith("z'")):
            joined[-1] += "\n" + line
        else:
            joined.append(line)
    return [(f"snippet {i + 1}: {t[:60]}", t) for i, t in enumerate(joined)]


compiled = {}


def case(name, template, values):
    try:
        if template not in compiled:
            compiled[template] = env.from_string(template)
        expected = compiled[template].render(**copy.deepcopy(values))
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, OverflowError, ZeroDivisionError, AttributeError, KeyError, SyntaxError):
        expected = None
    return {"name": name, "template": template, "vars": values, "expected": expected}


cases = [case(name, template, VALUES) for name, template in snippets()]
if sys.argv[1] != "-":
    for name, template in templates(sys.argv[1]):
        for chat, messages in CHATS.items():
            for ask in (False, True):
                for tools in (None, TOOLS):
                    label = f"{name}, {chat}{', ask' if ask else ''}{', tools' if tools else ''}"
                    cases.append(case(label, template, variables(messages, ask, tools)))
json.dump(cases, open(sys.argv[2], "w"))
