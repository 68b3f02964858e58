package qupath.fx.dialogs

import qupath.lib.gui.QuPathGUI

/** What a user would have chosen; null is Cancel. Without a window JavaFX does not run. */
class FileChoosers {
    static File directory, file

    static File promptForDirectory(String title, File initialDirectory) {
        return asked(directory)
    }

    static File promptToSaveFile(String title, File initialFile, Object... filters) {
        return asked(file)
    }

    private static File asked(File answer) {
        if (QuPathGUI.getInstance() == null)
            throw new IllegalStateException("Toolkit not initialized")
        return answer
    }
}
