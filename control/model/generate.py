#!/usr/bin/env python3
"""Make everything that follows from methods.json.

usage: generate.py KIND methods.json OUTPUT [version]
  handlers    C for weir-control: the prototypes that handlers must have
  dispatch    C for weir-control: the table of methods, their arguments, their handlers
  grammar     C for weir: the same, as a command line
  completion  bash completion of weir
  man         weir.1 (mdoc)
"""
import json
import re
import sys

TYPES = {
    "boolean": ("MODEL_BOOLEAN", "true or false"),
    "switch": ("MODEL_SWITCH", "yes or no"),
    "integer": ("MODEL_INTEGER", None),
    "name": ("MODEL_NAME", "1 to 63 of the characters a-z 0-9 -, not beginning or ending with -"),
    "key": ("MODEL_KEY", "a WireGuard key, 44 characters of base64"),
    "prefixes": ("MODEL_PREFIXES", None),
    "host": ("MODEL_HOST", "a DNS name such as \"blog.example.org\" (letters beyond a-z as punycode, \"xn--...\")"),
    "names": ("MODEL_NAMES", None),
    "text": ("MODEL_TEXT", "up to 200 bytes of text in one line"),
    "who": ("MODEL_WHO", 'peer:NAME, group:NAME, subnet:NETWORK or any'),
    "to": ("MODEL_TO", 'peer:NAME, group:NAME, subnet:NETWORK, hub or any'),
    "protocol": ("MODEL_PROTOCOL", 'tcp, udp, icmp or any'),
    "ports": ("MODEL_PORTS", None),
    "windows": ("MODEL_WINDOWS", None),
    "time": ("MODEL_TIME", 'a time such as "2026-12-24T12:00:00Z" or "2026-12-24T12:00:00+01:00"'),
    "prefix": ("MODEL_PREFIX", 'an address, or a network without host bits such as "192.0.2.0/24" or "2001:db8::/32"'),
    "address": ("MODEL_ADDRESS", 'an address such as "192.0.2.1" or "2001:db8::1"'),
    "duration": ("MODEL_DURATION", 'a time span such as 90s, 15m, 12h or 7d, up to ten years'),
    "amount": ("MODEL_AMOUNT", "a number such as 5000, 20k or 1M"),
    "bytes": ("MODEL_BYTES", "a number of bytes such as 2500000, 20Mbit, 1G or 64Ki"),
    "endpoint": ("MODEL_ENDPOINT", 'an address or a name with port, such as "192.0.2.7:51820", '
                 '"[2001:db8::7]:51820" or "branch.example.org:51820", or none'),
    "file": ("MODEL_FILE", "a file to read, or - for standard input"),
    "path": (None, "a file that does not exist yet"),
    "target": ("MODEL_TARGET", "a peer's name and a port, such as \"home:8080\""),
}
METHOD_KEYS = {"name", "summary", "description", "arguments", "pages", "reply", "errors", "changes", "later"}
ARGUMENT_KEYS = {"name", "type", "positional", "required", "value", "min", "max", "default", "unit",
                 "help", "complete", "local", "fill"}


def fail(text):
    sys.exit(f"methods.json: {text}")


def check(methods):
    """Refuse a description that the generated code could not keep."""
    seen = set()
    for method in methods:
        name = method.get("name", "?")
        if set(method) - METHOD_KEYS:
            fail(f"{name}: unknown {sorted(set(method) - METHOD_KEYS)}")
        if not re.fullmatch(r"[a-z]+(\.[a-z]+)?", name) or name in seen:
            fail(f"{name}: bad or double name")
        seen.add(name)
        for key in ("summary", "arguments", "reply", "errors"):
            if key not in method:
                fail(f"{name}: {key} is missing")
        optional_seen = False
        for argument in method["arguments"]:
            label = f"{name}: {argument.get('name', '?')}"
            if set(argument) - ARGUMENT_KEYS:
                fail(f"{label}: unknown {sorted(set(argument) - ARGUMENT_KEYS)}")
            if not re.fullmatch(r"[a-z_]+", argument["name"]) or argument["type"] not in TYPES:
                fail(f"{label}: bad name or type")
            if argument["type"] == "integer" and not {"min", "max"} <= set(argument):
                fail(f"{label}: an integer needs min and max")
            if (argument["type"] == "path") > argument.get("local", False):
                fail(f"{label}: the hub reads no files of its clients")
            if argument.get("positional"):
                if optional_seen or not argument.get("required"):
                    fail(f"{label}: positional arguments come first and are required")
            else:
                optional_seen = True
                if argument["type"] != "boolean" and "value" not in argument:
                    fail(f"{label}: value is missing")


def allowed(argument):
    """What completes "must be ..."."""
    if argument["type"] == "integer":
        text = f"{argument['min']} to {argument['max']}"
        return text + (f" {argument['unit']}" if "unit" in argument else "")
    if argument["type"] == "prefixes":
        return (f"up to {argument['max']} networks without host bits, "
                'such as "10.1.0.0/16" or "fd01::/64"')
    if argument["type"] == "names":
        return f"up to {argument['max']} names"
    if argument["type"] == "ports":
        return f"up to {argument['max']} ports or ranges from 1 to 65535, such as 443 or 8000-8080"
    if argument["type"] == "windows":
        return (f"up to {argument['max']} of days, times and a time zone, "
                'such as "mon-fri 08:00-18:00 Europe/Berlin"')
    return TYPES[argument["type"]][1]


# How the command line takes a type, if not as text.
KINDS_OF_TYPE = {"boolean": "WEIR_FLAG", "integer": "WEIR_INTEGER", "prefixes": "WEIR_LIST",
                 "names": "WEIR_LIST", "ports": "WEIR_LIST", "windows": "WEIR_LIST",
                 "file": "WEIR_FILE"}


def c_string(text):
    return "NULL" if text is None else json.dumps(text, ensure_ascii=True)


def identifier(method):
    return method["name"].replace(".", "_")


def option(argument):
    return "--" + argument["name"].replace("_", "-")


def sent(method):
    """The arguments that the hub sees; weir keeps its own (local)."""
    return [argument for argument in method["arguments"] if not argument.get("local")]


def word(argument):
    return argument["name"].upper().replace("_", "-")


def usage(method):
    """The arguments as one line."""
    parts = []
    for argument in method["arguments"]:
        if argument.get("positional"):
            parts.append(word(argument))
            continue
        text = option(argument)
        if argument["type"] != "boolean":
            text += " " + argument["value"]
        parts.append(text if argument.get("required") else f"[{text}]")
    return " ".join(method["name"].split(".") + parts)


# Whether an operation changes something, which the audit trail then records: "always" when it succeeds, or what it
# has "stored", each peer in a record of its own ("each"). All take a reason.
CHANGES = {None: "MODEL_CHANGES_NOTHING", "stored": "MODEL_CHANGES_STORED", "always": "MODEL_CHANGES_ALWAYS",
           "each": "MODEL_CHANGES_EACH"}
WHY = {"name": "why", "type": "text", "value": "TEXT", "help": "the reason, for the audit trail"}


def add_why(methods):
    for method in methods:
        if method.get("changes") not in CHANGES:
            fail(f"{method['name']}: changes is \"always\", \"stored\" or \"each\"")
        if "changes" in method:
            method["arguments"].append(WHY)


HEAD = "/* Generated from methods.json by generate.py; do not edit. */\n"


def later(method):
    """What is asked first when the caller can wait: model_later.h."""
    return f"model__{identifier(method)}_later" if method.get("later") else "NULL"


def handlers(methods, _version):
    return "".join([HEAD] + [f"model_call_fn model__{identifier(method)};\n" for method in methods]
                   + [f"model_later_fn {later(method)};\n" for method in methods if "later" in method])


def dispatch(methods, _version):
    out = [HEAD, '#include "model_method.h"\n', "\n#include <stddef.h>\n\n"]
    for method in methods:
        if sent(method):
            out.append(f"static const struct model_argument {identifier(method)}_arguments[] = {{\n")
            for a in sent(method):
                out.append(
                    f"\t{{.name = {c_string(a['name'])}, .type = {TYPES[a['type']][0]}, "
                    f".required = {'true' if a.get('required') else 'false'}, "
                    f".min = {a.get('min', 0)}, .max = {a.get('max', 0)},\n"
                    f"\t .allowed = {c_string(allowed(a))}}},\n")
            out.append("};\n\n")
    out.append("const struct model_method model_methods[] = {\n")
    for method in methods:
        n = len(sent(method))
        arguments = f"{identifier(method)}_arguments" if n else "NULL"
        out.append(f"\t{{.name = {c_string(method['name'])}, .call = model__{identifier(method)},\n"
                   f"\t .later = {later(method)},\n"
                   f"\t .arguments = {arguments}, .n_arguments = {n},\n"
                   f"\t .changes = {CHANGES[method.get('changes')]}}},\n")
    out.append("};\n\n")
    out.append(f"const size_t model_n_methods = {len(methods)};\n")
    return "".join(out)


def grammar(methods, _version):
    out = [HEAD, '#include "weir_grammar.h"\n\n']
    for method in methods:
        if method["arguments"]:
            out.append(f"static const struct weir_argument {identifier(method)}_arguments[] = {{\n")
            for a in method["arguments"]:
                positional = a.get("positional", False)
                kind = KINDS_OF_TYPE.get(a["type"], "WEIR_TEXT")
                fill = "WEIR_FILL_SSH" if a.get("fill") == "ssh" else "WEIR_FILL_NOTHING"
                separator = ";" if a["type"] == "windows" else ","
                out.append(
                    f"\t{{.name = {c_string(a['name'])}, "
                    f".option = {c_string(None if positional else option(a))},\n"
                    f"\t .value = {c_string(word(a) if positional else a.get('value'))}, "
                    f".kind = {kind}, .required = {'true' if a.get('required') else 'false'}, "
                    f".local = {'true' if a.get('local') else 'false'},\n"
                    f"\t .fill = {fill}, .separator = '{separator}',\n"
                    f"\t .min = {a.get('min', 0)}, .max = {a.get('max', 0)},\n"
                    f"\t .allowed = {c_string(allowed(a))},\n"
                    f"\t .help = {c_string(a['help'])}}},\n")
            out.append("};\n\n")
    out.append("const struct weir_command weir_commands[] = {\n")
    for method in methods:
        words = method["name"].split(".") + [None]
        n = len(method["arguments"])
        out.append(
            f"\t{{.method = {c_string(method['name'])}, "
            f".words = {{{c_string(words[0])}, {c_string(words[1])}}},\n"
            f"\t .summary = {c_string(method['summary'])},\n"
            f"\t .description = {c_string(method.get('description'))},\n"
            f"\t .usage = {c_string(usage(method))}, .pages = {c_string(method.get('pages'))},\n"
            f"\t .arguments = {identifier(method) + '_arguments' if n else 'NULL'}, "
            f".n_arguments = {n}}},\n")
    out.append("};\n\n")
    out.append(f"const size_t weir_n_commands = {len(methods)};\n")
    return "".join(out)


def completion(methods, _version):
    groups = {}
    for method in methods:
        words = method["name"].split(".")
        groups.setdefault(words[0], []).extend(words[1:])
    top = " ".join(sorted(groups) + ["help", "run", "upgrade"])
    out = ["# bash completion of weir. Generated from methods.json by generate.py; do not edit.\n\n",
           "# Names of what is there, from the hub itself; nothing when it does not answer.\n",
           "_weir_names() {\n",
           '\tweir "${_weir_socket[@]}" -o json "$1" list 2>/dev/null |\n',
           "\t\tsed -n 's/^ *\"name\": \"\\([a-z0-9-]*\\)\",\\{0,1\\}$/\\1/p'\n",
           "}\n\n",
           "_weir() {\n",
           "\tlocal cur prev command='' i options=''\n",
           "\tlocal -a _weir_socket=()\n",
           "\tCOMPREPLY=()\n",
           '\tcur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n',
           "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n",
           '\t\tcase ${COMP_WORDS[i]} in\n',
           '\t\t-s | --socket) _weir_socket=(-s "${COMP_WORDS[++i]}") ;;\n',
           "\t\t-o | --output | -c | --config) ((i++)) ;;\n",
           "\t\t-*) ;;\n",
           '\t\t*) command+="${command:+ }${COMP_WORDS[i]}" ;;\n',
           "\t\tesac\n",
           "\tdone\n",
           "\tcase $prev in\n",
           '\t-o | --output) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$cur"); return ;;\n',
           '\t-s | --socket | -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;\n',
           "\tesac\n",
           "\tcase $command in\n",
           f"\t'') options='{top} -s -o -h --socket --output --help --version' ;;\n",
           "\trun) options='-c --config --check' ;;\n",
           f"\thelp) options='{' '.join(sorted(groups))} run' ;;\n"]
    for group, words in sorted(groups.items()):
        if words:
            out.append(f"\t{group} | 'help {group}') options='{' '.join(words)}' ;;\n")
    for method in methods:
        words = " ".join(method["name"].split("."))
        options = " ".join(option(a) for a in method["arguments"] if not a.get("positional"))
        pattern = f"'{words}'*" if " " in words else words
        named = [a["complete"] for a in method["arguments"] if "complete" in a]
        if named:
            out.append(f"\t'{words}') options=\"{(options + ' -o -h').strip()} $(_weir_names {named[0]})\" ;;\n")
        elif " " in words or options:
            out.append(f"\t{pattern}) options='{(options + ' -o -h').strip()}' ;;\n")
    out += ["\tesac\n",
            '\tmapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")\n',
            "}\n\n",
            "complete -F _weir weir\n"]
    return "".join(out)


def mdoc(text):
    """Text for mdoc: nothing that roff would take for a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(("\\&" + line if line[:1] in (".", "'") else line)
                     for line in text.split("\n"))


def sentence(text):
    return mdoc(text) + "."


def man(methods, version):
    out = ['.\\" Generated from methods.json by generate.py; do not edit.\n',
           ".Dd November 21, 2026\n.Dt WEIR 1\n", f".Os weir {version}\n",
           ".Sh NAME\n.Nm weir\n.Nd command line of a weir hub, and its supervisor\n",
           ".Sh SYNOPSIS\n.Nm\n.Op Fl s Ar socket\n.Op Fl o Cm text | json\n.Ar command\n.Op Ar argument ...\n",
           ".Nm\n.Cm run\n.Fl c Ar file\n.Op Fl \\-check\n",
           ".Nm\n.Cm upgrade\n.Op Fl \\-binary\\-dir Ar dir\n.Op Fl \\-only Cm control | dataplane\n",
           ".Sh DESCRIPTION\n",
           "Each command is one operation of the hub, asked over its control socket.\n",
           "Options may stand anywhere on the line:\n",
           ".Bl -tag -width Ds\n",
           ".It Fl s , \\-socket Ar socket\n",
           "The hub's control socket, instead of\n.Ev WEIR_SOCKET\nor\n.Pa /run/weir/control.sock .\n",
           ".It Fl o , \\-output Cm text | json\n",
           "Tables for people (the default), or the hub's reply as JSON.\n",
           "Errors are JSON then, too, on standard error.\n",
           ".It Fl h , \\-help\nHelp on the command.\n",
           ".It Fl V , \\-version\nThe version.\n",
           ".El\n.Pp\nThe commands are:\n.Bl -tag -width Ds\n"]
    for method in methods:
        positional = [a for a in method["arguments"] if a.get("positional")]
        others = [a for a in method["arguments"] if not a.get("positional")]
        line = ".It Cm " + " ".join(method["name"].split("."))
        for a in positional:
            line += f" Ar {word(a)}"
        for a in others:
            flag = f"Fl \\-{a['name'].replace('_', chr(92) + '-')}"
            if a["type"] != "boolean":
                flag += f" Ar {a['value']}"
            line += f" {flag}" if a.get("required") else f" Oo {flag} Oc"
        out.append(line + "\n")
        out.append(sentence(method["summary"]) + "\n")
        if "description" in method:
            out.append(mdoc(method["description"]) + "\n")
        if others:
            out.append(".Bl -tag -width Ds -compact\n")
            for a in others:
                flag = f".It Fl \\-{a['name'].replace('_', chr(92) + '-')}"
                out.append(flag + (f" Ar {a['value']}" if a["type"] != "boolean" else "") + "\n")
                text = a["help"]
                if a["type"] != "boolean":
                    text += "; " + allowed(a)
                out.append(sentence(text) + "\n")
            out.append(".El\n")
        out.append(f"Reply: {sentence(method['reply'])}\n")
    out.append(".It Cm run Fl c Ar file Op Fl \\-check\n")
    out.append(RUN_TEXT)
    out.append(".It Cm upgrade Oo Fl \\-binary\\-dir Ar dir Oc Oo Fl \\-only Cm control | dataplane Oc\n")
    out.append(UPGRADE_TEXT)
    out.append(".It Cm help Op Ar command\nHelp on a command.\n.El\n")
    out.append(TAIL_TEXT)
    return "".join(out)


RUN_TEXT = """\
Run the hub that the file describes
.Pq see Xr weir.conf 5 :
start weir\\-control and weir\\-dataplane, and start one again that ends, after 10 ms, doubling to at
most 1 s, and 10 ms again once it lived for 1 s.
.Ql weir: ready
is printed when both are up.
.Dv SIGTERM
and
.Dv SIGINT
end both.
A reason not to start
.Pq wrong configuration, missing interface, port taken
ends it at once with exit status 1 and the reason on standard error; nothing is left running.
When the supervisor itself is killed, both processes and the traffic go on, and the next
.Nm
.Cm run
takes them over.
.Fl \\-check
reads the file, says whether it is good, and starts nothing.
"""

UPGRADE_TEXT = """\
Ask the supervisor
.Pq Nm Cm run
to replace the programs that it runs by those in
.Ar dir ,
by default where it found the ones that it started.
The new weir\\-control takes the control socket, its connections, those of the published services and the dataplane
over from the old one, which answers what it has begun and then ends, after ten minutes at the latest: no request and
no packet is lost.
Then weir\\-dataplane is ended and the new one started, which resumes the sessions: clients see a gap of well below a
second.
Programs whose ABI or store schema is another than that of the running ones are refused, with both versions
named, before anything is touched; of one that does not come up the one before goes on, or is started again.
The way back is the same command with the directory of the old programs.
"""

TAIL_TEXT = """\
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev WEIR_SOCKET
The hub's control socket.
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /run/weir/control.sock
The control socket; only root may use it.
.It Pa /run/weir/run.sock
Where the supervisor is asked for an upgrade.
.It Pa /etc/weir.conf
The configuration that the systemd units name.
.El
.Sh EXIT STATUS
.Bl -tag -width Ds -compact
.It 0
done
.It 1
refused; the reason is on standard error
.It 2
wrong usage; the argument and what it takes are on standard error
.It 3
the hub cannot be reached
.El
.Sh EXAMPLES
.Bd -literal
wg genkey > laptop.key
weir peer add laptop \\-\\-public\\-key "$(wg pubkey < laptop.key)" > laptop.conf
weir service add blog \\-\\-host blog.example.org \\-\\-target laptop:8080
weir \\-o json counters \\-\\-nonzero
.Ed
.Sh SEE ALSO
.Xr weir.conf 5 ,
.Xr wg\\-quick 8
"""

KINDS = {"handlers": handlers, "dispatch": dispatch, "grammar": grammar, "completion": completion, "man": man}


def main(arguments):
    if len(arguments) < 3 or arguments[0] not in KINDS:
        sys.exit(__doc__)
    with open(arguments[1], encoding="utf-8") as file:
        methods = json.load(file)["methods"]
    check(methods)
    add_why(methods)
    text = KINDS[arguments[0]](methods, arguments[3] if len(arguments) > 3 else "")
    with open(arguments[2], "w", encoding="utf-8") as file:
        file.write(text)


main(sys.argv[1:])
