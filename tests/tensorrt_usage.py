"""Looks up in the real TensorRT module, and in cuda-bindings, all that semrt's modules use of them.

Run as a file, with the paths of the modules; prints one JSON object: what was found, and what does not fit.
A small type inference follows the objects: what a call returns stands in its docstring, which pybind11 writes.
"""

import ast
import json
import re
import sys
from importlib import metadata
from pathlib import Path

import tensorrt_bindings as trt
from cuda.bindings import runtime

SEAMS = {"started": 1}  # semrt's own functions that make what one of their arguments names: its position
ALIASES = {"nvonnxparser::IParserError": "ParserError"}
SIGNATURE = re.compile(r"^(?:\d+\. )?(\w+)\((.*)\) -> (.+?)\s*$", re.MULTILINE)


def split(text):
    """Parts between the commas that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for i, sign in enumerate(text):
        depth += (sign in "[(<{") - (sign in "])>}")
        if sign == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def overloads(function):
    """(names, how many are needed, what is returned) of each form of a bound function; self is left out."""
    found = []
    for name, parameters, returned in SIGNATURE.findall(function.__doc__ or ""):
        if "*args" in parameters:
            continue
        listed = split(parameters)
        listed = listed[1:] if listed and listed[0].startswith("self") else listed
        names = [part.partition(":")[0].strip() for part in listed]
        needed = sum("=" not in part for part in listed)
        found.append((name, names, needed, ALIASES.get(returned, returned.rpartition(".")[2])))
    return found


class Usage(ast.NodeVisitor):
    """Follows the types through one module."""

    def __init__(self):
        self.types = {}
        self.found = set()
        self.faults = []

    def fault(self, node, what):
        self.faults.append(f"line {node.lineno}: {what}")

    def type_of(self, node):
        """The name of the TensorRT class of an expression; None where it is none, or not known."""
        if isinstance(node, ast.Name | ast.Attribute):
            return self.types.get(ast.unparse(node))
        if isinstance(node, ast.NamedExpr):
            return self.type_of(node.value)
        if isinstance(node, ast.Call):
            made = self.made_by(node)
            if made is not None:
                return made
            if isinstance(node.func, ast.Attribute) and (owner := self.type_of(node.func.value)) is not None:
                method = getattr(getattr(trt, owner), node.func.attr, None)
                returned = {form[-1] for form in overloads(method)} if method is not None else set()
                return returned.pop() if len(returned) == 1 and hasattr(trt, next(iter(returned))) else None
        return None

    def made_by(self, node):
        if name := self.named(node.func):
            return name
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        return self.named(node.args[SEAMS[function]]) if function in SEAMS else None

    @staticmethod
    def named(node):
        """X of the expression trt.X."""
        inside = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trt"
        return node.attr if inside else None

    def bind(self, target, name):
        if name is not None:
            self.types[ast.unparse(target)] = name

    def visit_FunctionDef(self, node):
        outside = dict(self.types)
        for argument in [*node.args.args, *node.args.kwonlyargs]:
            self.types.pop(argument.arg, None)
            if argument.annotation is not None:
                self.bind(ast.Name(argument.arg), self.named(argument.annotation))
        self.generic_visit(node)
        kept = {name: kind for name, kind in self.types.items() if name.startswith("self.")}
        self.types = outside | kept

    def visit_ClassDef(self, node):
        for base in filter(None, map(self.named, node.bases)):
            own = {method.name: method for method in node.body if isinstance(method, ast.FunctionDef)}
            wanted = {name for name in dir(getattr(trt, base)) if name.islower() and not name.startswith("_")}
            for name in sorted(wanted - set(own)):
                self.fault(node, f"{node.name} does not override {base}.{name}")
            for name in sorted(wanted & set(own)):
                ((_, names, _, _),) = overloads(getattr(getattr(trt, base), name))
                if len(own[name].args.args) - 1 != len(names):
                    self.fault(own[name], f"{node.name}.{name}: TensorRT passes {len(names)}")
                self.found.add(f"{base}.{name} overridden")
        self.generic_visit(node)

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            values = [node.value]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                target, values = target.elts, node.value.elts
            else:
                target = [target]
            for one, value in zip(target, values, strict=False):
                self.bind(one, self.type_of(value))
                self.visit(one)

    def visit_AnnAssign(self, node):
        self.bind(node.target, self.named(node.annotation))
        self.generic_visit(node)

    def visit_NamedExpr(self, node):
        self.visit(node.value)
        self.bind(node.target, self.type_of(node.value))

    def visit_DictComp(self, node):
        for generator in node.generators:
            self.visit(generator)
        self.visit(node.key)  # which may bind a name that the value uses
        self.visit(node.value)

    def visit_Attribute(self, node):
        dotted = ast.unparse(node)
        if re.fullmatch(r"trt(\.\w+)+", dotted):
            value = trt
            for part in dotted.split(".")[1:]:
                if not hasattr(value, part):
                    self.fault(node, f"{dotted}: TensorRT {trt.__version__} has no {part}")
                    break
                value = getattr(value, part)
            else:
                self.found.add(dotted.removeprefix("trt."))
            return
        owner = self.type_of(node.value)
        if owner is not None:
            if not hasattr(getattr(trt, owner), node.attr):
                self.fault(node, f"{owner} has no {node.attr}")
            elif isinstance(node.ctx, ast.Store):
                member = getattr(getattr(trt, owner), node.attr)
                if not isinstance(member, property) or member.fset is None:
                    self.fault(node, f"{owner}.{node.attr} cannot be set")
                self.found.add(f"{owner}.{node.attr} set")
            else:
                self.found.add(f"{owner}.{node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node):
        self.generic_visit(node)
        function = None
        if (name := self.named(node.func)) is not None and isinstance(getattr(trt, name, None), type):
            function, label = getattr(trt, name).__init__, name
        elif isinstance(node.func, ast.Attribute) and (owner := self.type_of(node.func.value)) is not None:
            function, label = getattr(getattr(trt, owner), node.func.attr, None), f"{owner}.{node.func.attr}"
        if function is None:
            return
        positional, keywords = len(node.args), {keyword.arg for keyword in node.keywords}
        forms = overloads(function)
        fits = any(
            positional <= len(names)
            and keywords <= set(names[positional:])
            and set(names[positional:needed]) <= keywords
            for _, names, needed, _ in forms
        )
        if not fits:
            self.fault(node, f"{label}({positional} arguments, {sorted(keywords)}) fits none of {forms}")


class CudaUsage(ast.NodeVisitor):
    """Names of the CUDA runtime: all that begins with cuda and goes on in camel case."""

    def __init__(self):
        self.found = set()
        self.faults = []

    def visit_Attribute(self, node):
        if re.match("cuda[A-Z]", node.attr):
            inner = isinstance(node.value, ast.Attribute) and re.match("cuda[A-Z]", node.value.attr)
            owner = getattr(runtime, node.value.attr, None) if inner else runtime
            if not hasattr(owner, node.attr):
                self.faults.append(f"line {node.lineno}: cuda-bindings has no {ast.unparse(node)}")
            self.found.add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node):
        called, arguments = node.func, node.args
        if isinstance(called, ast.Attribute) and called.attr == "call":  # the function, and what it is given
            called, arguments = arguments[0], arguments[1:]
        if isinstance(called, ast.Attribute) and re.match("cuda[A-Z]", called.attr):
            function = getattr(runtime, called.attr, None)
            shown = (getattr(function, "__doc__", None) or "?").splitlines()[0]
            if not shown.startswith(f"{called.attr}("):
                self.faults.append(f"line {node.lineno}: {called.attr} is not described")
            elif len(split(shown[len(called.attr) + 1 : -1])) != len(arguments):
                self.faults.append(f"line {node.lineno}: {len(arguments)} arguments for {shown}")
        self.generic_visit(node)


def main(paths):
    found, faults = set(), []
    for path in paths:
        for usage in (Usage(), CudaUsage()):
            usage.visit(ast.parse(Path(path).read_text(encoding="utf-8")))
            found |= usage.found
            faults += [f"{Path(path).name}, {fault}" for fault in usage.faults]
    versions = {"tensorrt": trt.__version__, "cuda": metadata.version("cuda-bindings")}
    print(json.dumps({"versions": versions, "found": sorted(found), "faults": faults}))


if __name__ == "__main__":
    main(sys.argv[1:])
