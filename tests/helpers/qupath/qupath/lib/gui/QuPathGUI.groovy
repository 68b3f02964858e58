package qupath.lib.gui

/** Null where QuPath runs without a window. */
class QuPathGUI {
    static QuPathGUI instance
}
