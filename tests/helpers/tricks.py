"""Python that would run a command of its author's choice: each by another way around a list of names."""

import re


def ways(text):
    """Return from each heading to what stands below it."""
    return dict(re.findall(r"## (.+)\n((?:(?!## ).*\n)+)", text))


AT_IMPORT = ways(r"""
## a module that is seldom thought of
from posix import system
system("id")
## code from text
import timeit
timeit.timeit("import os; os.system('id')", number=1)
## a helper in torch
import torch.utils.collect_env
torch.utils.collect_env.run("id")
## a plain load
import torch
torch.serialization.load("weights.pth", weights_only=False)
## another open
import codecs
codecs.open("written", "w")
## a database
import sqlite3
sqlite3.connect("written")
## a log file
import logging
logging.FileHandler("written")
## an array that writes itself
import numpy as np
np.ndarray.tofile(np.zeros(3), "written")
## a value that writes itself
import numpy as np
np.zeros(3).tofile("written")
## the name of a builtin
str = __builtins__["exec"]
str("acts")
## the name of a builtin, later
exec("acts")
def exec(text): pass
## a definition in a branch
import os
if True:
    def str(x=0):
        os.system("id")
X = str()
## a loop variable
import os
for int in [os.system]:
    int("id")
## a function handed to map
import os
def h(x):
    os.system("id")
L = list(map(h, [1]))
## a function handed to sorted
import os
def h(x):
    os.system("id")
L = sorted([1, 2], key=h)
## a function handed to reduce
import os, functools
def h(x, y):
    os.system("id")
X = functools.reduce(h, [1, 2])
## a static method
import os
class A:
    @staticmethod
    def go():
        os.system("id")
A.go()
## an inherited method
import os
class A:
    def go(s):
        os.system("id")
class B(A): pass
b = B()
b.go()
## an inherited operator
import os
class A:
    def __add__(s, o):
        os.system("id")
class B(A): pass
X = B() + 1
## an item of a class
import os
class A:
    def __class_getitem__(c, k):
        os.system("id")
X = A[1]
## a metaclass
import os
class M(type):
    def __getattr__(c, k):
        os.system("id")
class A(metaclass=M): pass
X = A.b
## a subclass
import os
class A:
    def __init_subclass__(c):
        os.system("id")
class B(A): pass
## a member of an Enum
import os, enum
class E(enum.Enum):
    A = 1
    def __init__(self, value):
        os.system("id")
## a descriptor
import os
class D:
    def __set_name__(s, o, n):
        os.system("id")
class A:
    d = D()
## a class in a class
import os
class O:
    class I:
        def __init__(s):
            os.system("id")
    x = I()
## a with statement
import os
class A:
    def __enter__(s):
        os.system("id")
    def __exit__(s, *a): pass
with A(): pass
## a decorator
import os
def d(f):
    os.system("id")
@d
def f(): pass
## a decorator that calls
import os
def d(f):
    f()
@d
def f():
    os.system("id")
## a setter of something else
import os
class E:
    def setter(s, f):
        os.system("id")
e = E()
class A:
    @e.setter
    def e(self): pass
## a default
import os
def f(x=os.system("id")): pass
## a kept default
import os
def f(x=os.system):
    x("id")
f()
## a kept list
import os
X = [os.system]
X[0]("id")
## a kept list that calls itself self
import os
self = [os.system]
self.pop()("id")
## a kept function of a class
import os
class A:
    go = os.system
A.go("id")
## an annotation that is called
def f(x: exec("acts")): pass
## an annotation taken out again
import os, typing
X = list[os.system]
typing.get_args(X)[0]("id")
## a comprehension's variable
Y = [exec for exec in [1]]
exec("acts")
## a comprehension's first source
Y = [1 for exec in exec("acts")]
## an assignment inside
import os
print(f := os.system)
f("id")
## a value beside an import
import math as m
import numpy as np
m = np.zeros(3)
m.tofile("written")
## everything of a module
from os import *
system("id")
## a module of a module
import torch.nn.functional as F
F.importlib.import_module("os").system("id")
## a module imported from a module
from torch.nn.functional import torch as t
t.save(1, "written")
## a module looked up twice
from torch import nn
n = "func"
getattr(getattr(nn, n + "tional"), "import" + "lib")
## a module handed on
import torch, functools
functools.reduce(getattr, ["serialization", "os"], torch)
## the names of a module
import torch
vars(torch)["load"]("weights.pth")
## a builtin's own module
print.__self__.exec("acts")
## an attribute by its path
import operator, torch
operator.attrgetter("serialization.os.system")(torch)
## a function from bytes
import types
types.FunctionType(types.CodeType(b""), {})
## a guard that holds
__name__ = "__main__"
if __name__ == "__main__":
    exec("acts")
## a module whose import acts
import antigravity
## a program imported
import pip.__main__
## one of two imports
import torch as t
import os as t
t.system("id")
## a fallback
try:
    import numpy as np
except ImportError:
    import os as np
np.system("id")
## a global
import os
def f():
    global str
    str = os.system
f()
str("id")
## a comment with types
import torch
@torch.jit.script
def f(x):
    # type: (__import__("os").system("id")) -> int
    return x
## an attribute of the module
import os
def __getattr__(name):
    os.system("id")
## a setter of a class
class E:
    def setter(f):
        exec("acts")
class A:
    @E.setter
    def E(self): pass
## a member of an Enum without an import of os
from enum import Enum
class E(Enum):
    A = 1
    def __init__(self, value):
        exec("acts")
## a builtin of another meaning
def property(f):
    exec("acts")
class A:
    @property
    def a(self): pass
## an import of another meaning
from torch import no_grad
from torch.hub import load as no_grad
@no_grad
def f(): pass
## what is only imported for types
TYPE_CHECKING = True
if TYPE_CHECKING:
    exec("acts")
## a class inside a class, and a default in it
class A:
    class B:
        def f(x=[exec("acts")]): pass
## a plain assignment to a library
import torch
torch.nn.Module.forward = lambda self, x: x
## a callback
import os, contextlib
with contextlib.ExitStack() as s:
    s.callback(os.system, "id")
""")
