package qupath.lib.images.servers

enum PixelType {
    UINT8, UINT16, FLOAT32
}
