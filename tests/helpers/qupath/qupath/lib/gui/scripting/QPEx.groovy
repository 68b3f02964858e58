package qupath.lib.gui.scripting

import qupath.lib.scripting.QP

/** What QuPath imports before the first line of every script. */
class QPEx extends QP {}
