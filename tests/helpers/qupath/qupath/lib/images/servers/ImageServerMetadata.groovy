package qupath.lib.images.servers

import groovy.transform.AutoClone

@AutoClone
class ImageServerMetadata {
    int width, height, sizeZ = 1, sizeT = 1, preferredTileWidth, preferredTileHeight
    double pixelWidth = Double.NaN, pixelHeight = Double.NaN, zSpacing = Double.NaN
    boolean rgb
    PixelType pixelType
    List<ImageChannel> channels
    double[] downsamples

    static class Builder {
        private ImageServerMetadata metadata

        Builder(ImageServerMetadata metadata) {
            this.metadata = metadata.clone()
        }

        Builder levelsFromDownsamples(double... downsamples) {
            metadata.downsamples = downsamples
            return this
        }

        Builder preferredTileSize(int width, int height) {
            metadata.preferredTileWidth = width
            metadata.preferredTileHeight = height
            return this
        }

        Builder pixelType(PixelType type) {
            metadata.pixelType = type
            return this
        }

        Builder channels(Collection<ImageChannel> channels) {
            metadata.channels = channels as List
            return this
        }

        Builder rgb(boolean rgb) {
            metadata.rgb = rgb
            return this
        }

        ImageServerMetadata build() {
            return metadata
        }
    }
}
