package qupath.fx.dialogs

/** What a user would have read. */
class Dialogs {
    static List<String> shown = []

    static void showErrorMessage(String title, String message) {
        shown << "error: " + message
    }

    static void showInfoNotification(String title, String message) {
        shown << "info: " + message
    }
}
