package qupath.lib.images.servers

import groovy.transform.Immutable

@Immutable
class TileRequest {
    int imageX, imageY, imageWidth, imageHeight, z, t
}
