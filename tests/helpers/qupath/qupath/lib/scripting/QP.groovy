package qupath.lib.scripting

class QP {
    static ImageData opened

    static ImageData getCurrentImageData() {
        return opened
    }

    static class ImageData {
        Object server
    }
}
